from __future__ import annotations

import pytest

from pgstrata.adoption.dotenv import assignments


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=b", {"A": "b"}),
        ("export A = b # why", {"A": "b"}),
        ("A='b # c'", {"A": "b # c"}),
        (r'A="b\"\nc"', {"A": 'b"\nc'}),
        ("A=1\nA=2", {"A": "2"}),
        ("# A=1\n\nno assignment\n1A=x", {}),
        ("A=", {"A": ""}),
    ],
)
def test_assignments(text: str, expected: dict[str, str]) -> None:
    """Quotes are taken off, comments left out, and the last one counts."""
    assert assignments(text) == expected
