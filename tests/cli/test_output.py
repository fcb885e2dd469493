from __future__ import annotations

from typing import TYPE_CHECKING

from pgstrata.cli.output import tell

if TYPE_CHECKING:
    import pytest


def test_what_a_file_brought_does_not_steer_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A header or a value may hold escape sequences that hide what is said; lines stay lines."""
    tell("no column for \x1b[2J\r\u202ename\nand é", hint="\x07")
    assert capsys.readouterr().err == (
        "pgstrata: no column for \\x1b[2J\\r\\u202ename\nand é\nhint: \\x07\n"
    )
