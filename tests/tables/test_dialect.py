from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgstrata.errors import UsageError
from pgstrata.tables.dialect import Dialect, guess_delimiter, guess_quote, split


@pytest.mark.parametrize(
    ("record", "fields"),
    [
        ("a,b\n", ["a", "b"]),
        ('a,"",\n', ["a", "", None]),
        ('"a\nb","c""d"\r\n', ["a\nb", 'c"d']),
        ('x"y,z"w\n', ["xy,zw"]),
        ("\n", [None]),
        ('"open\n', ["open\n"]),
    ],
)
def test_a_record_is_split_as_the_server_does(record: str, fields: list[str | None]) -> None:
    """Empty is NULL unless it is quoted; quotes count anywhere."""
    assert split(record, Dialect()) == fields


@given(st.lists(st.text('a",;\n'), min_size=1, max_size=4))
def test_what_is_quoted_comes_back(values: list[str]) -> None:
    """Doubled quotes, separators and newlines within quotes are text."""
    record = ",".join('"' + value.replace('"', '""') + '"' for value in values)
    assert split(record + "\n", Dialect()) == values


def test_an_escape_other_than_the_quote() -> None:
    """It escapes the quote and itself, and is plain text before anything else."""
    assert split(r'"a\"b\\c\d",e', Dialect(escape="\\")) == [r'a"b\c\d', "e"]


@pytest.mark.parametrize(
    ("records", "names", "delimiter"),
    [
        (["a,b", "1,2"], [], ","),
        (["a;b", "1,5;2,5"], [], ";"),
        (["a\tb"], [], "\t"),
        (["a|b", "1|2"], [], "|"),
        (["a,b;c", "1,2;3"], ["b;c"], ","),
        (["id;note", "1;a,b,c", "2;x,y"], ["id", "note"], ";"),
        (["word", "other"], [], None),
        (["word", "a;b", "c;d"], [], None),
        (['"a;b","c"', '"1;2","3"'], [], ","),
    ],
)
def test_the_delimiter_is_the_one_that_makes_a_table(
    records: list[str], names: list[str], delimiter: str | None
) -> None:
    """Names of columns count most, then an equal number of fields."""
    assert guess_delimiter(records, Dialect(), names) == delimiter


@pytest.mark.parametrize(
    ("sample", "quote"),
    [
        ("a,b", '"'),
        ("'a','b,c'", "'"),
        ("'a','it''s'\n'b','c", "'"),
        ("it's,so", '"'),
        ("'a',\"b\"", '"'),
        ("1,'s-Hertogenbosch,NL\n2,Amsterdam,NL\n3,'s-Gravenhage,NL\n", '"'),
        ("1,'s-Hertogenbosch\n2,Amsterdam'\n", '"'),
    ],
)
def test_single_quotes_are_quotes_only_around_fields(sample: str, quote: str) -> None:
    """An apostrophe is none."""
    assert guess_quote(sample) == quote


@pytest.mark.parametrize("delimiter", ["", "ab", "é", "\n", '"'])
def test_a_separator_the_server_cannot_use_is_refused(delimiter: str) -> None:
    """One ASCII character, not the quote."""
    with pytest.raises(UsageError):
        Dialect(delimiter=delimiter)
