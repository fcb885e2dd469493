from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


@pytest.mark.parametrize("second", ["name=null", "name=hash"])
def test_a_column_is_masked_in_one_way(cli: Cli, second: str) -> None:
    """Of two the weaker one might win, and nobody would see it."""
    masks = ["--mask", "name=hash", "--mask", second]
    done = cli("copy", "people", "--from", "a", "--to", "b", *masks)
    assert (done.code, "twice" in done.err) == (2, True)
