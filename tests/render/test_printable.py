from __future__ import annotations

import pytest

from pgstrata.render.printable import printable


@pytest.mark.parametrize(
    ("text", "expected"),
    [("plain é 字", "plain é 字"), ("a\nb\t\x1b[31m", "a\\nb\\t\\x1b[31m")],
)
def test_nothing_steers_a_terminal(text: str, expected: str) -> None:
    """What can be printed stays as it is."""
    assert printable(text) == expected
