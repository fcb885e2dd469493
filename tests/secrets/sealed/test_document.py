from __future__ import annotations

import pytest

from pgstrata.secrets.sealed.document import decode, encode


@pytest.mark.parametrize("data", [b"", b"x", b"xy", b"xyz", bytes(64)])
def test_bytes_come_back_from_their_text(data: bytes) -> None:
    """Each length, with its padding."""
    assert decode("sig:", encode("sig:", data)) == data


@pytest.mark.parametrize(
    "text_",
    ["sig:eB==", "sig:eA=", "sig:eA", "sig:e A==", "sig:eA==\n", "eA==", "box:eA==", "sig:é"],
)
def test_one_value_has_one_text(text_: str) -> None:
    """Unused bits, missing padding, blanks and other prefixes are refused."""
    assert decode("sig:", "sig:eA==") == b"x"
    assert decode("sig:", text_) is None
