from __future__ import annotations

from typing import TYPE_CHECKING

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgstrata.cli.transfer_options import names_of
from pgstrata.errors import UsageError

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


@pytest.mark.parametrize("second", ["name=null", "name=hash"])
def test_a_column_is_masked_in_one_way(cli: Cli, second: str) -> None:
    """Of two the weaker one might win, and nobody would see it."""
    masks = ["--mask", "name=hash", "--mask", second]
    done = cli("copy", "people", "--from", "a", "--to", "b", *masks)
    assert (done.code, "twice" in done.err) == (2, True)


COLUMNS = click.Option(["--columns"])
CONTEXT = click.Context(click.Command("import"))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a", ["a"]),
        (" a , b c ,d", ["a", "b c", "d"]),
        ('" a b","%s"', [" a b", "%s"]),
        ('"a,b", "say ""x"""', ["a,b", 'say "x"']),
    ],
)
def test_names_are_read_as_they_are(text: str, names: list[str]) -> None:
    """Blanks around them are of the list, and those within quotes of the name."""
    assert names_of(CONTEXT, COLUMNS, text) == names


@given(st.lists(st.text(min_size=1), min_size=1))
def test_any_name_can_be_given_in_quotes(names: list[str]) -> None:
    """Whatever a column is called."""
    text = ",".join('"' + name.replace('"', '""') + '"' for name in names)
    assert names_of(CONTEXT, COLUMNS, text) == names


@pytest.mark.parametrize("text", ["", " ", "a,", ",a", "a,,b", '""', '"a', 'a"b', '"a"b'])
def test_a_list_with_an_empty_name_is_refused(text: str) -> None:
    """Or with a quote that does not end."""
    with pytest.raises(UsageError, match="--columns has an empty name, or an odd quote"):
        names_of(CONTEXT, COLUMNS, text)
