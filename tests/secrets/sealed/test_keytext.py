from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgstrata.errors import SecretError
from pgstrata.model import Secret
from pgstrata.secrets.sealed import keytext
from pgstrata.secrets.sealed.keys import (
    EnvironmentKey,
    Identity,
    new_environment_key,
    new_identity,
)

KEYS: list[EnvironmentKey | Identity] = [
    new_environment_key("my_prod.eu-1"),
    new_identity("alice@example"),
]
TEXTS = [keytext.private_text(key).reveal() for key in KEYS]


def same(one: EnvironmentKey | Identity, other: EnvironmentKey | Identity) -> bool:
    """Compare two keys with all that they hide."""
    return (type(one), one.name, one.reveal()) == (type(other), other.name, other.reveal())


@pytest.mark.parametrize("key", KEYS, ids=repr)
def test_a_key_comes_back_from_its_text(key: EnvironmentKey | Identity) -> None:
    """Kind, name and seed are in the text, and a scanner finds it in the middle of others."""
    text = keytext.private_text(key)
    assert same(keytext.read_private(text), key)
    found = keytext.PRIVATE.search(f"KEY={text.reveal()}; export KEY")
    assert found is not None
    assert found[0] == text.reveal()


@given(st.data())
def test_a_damaged_text_is_refused(data: st.DataObject) -> None:
    """One wrong, missing or extra character anywhere is noticed."""
    text = data.draw(st.sampled_from(TEXTS))
    index = data.draw(st.integers(0, len(text) - 1))
    new = data.draw(st.text(alphabet="ABab27_1-", max_size=2))
    damaged = text[:index] + new + text[index + 1 :]
    if damaged != text:
        with pytest.raises(SecretError, match="in stdin is not a private key"):
            keytext.read_private(Secret(damaged, source="stdin"))


@pytest.mark.parametrize("key", KEYS, ids=repr)
def test_a_passphrase_keeps_a_key(key: EnvironmentKey | Identity) -> None:
    """With it the key opens; without it, or with another, there is an error that says which."""
    text = keytext.private_text(key, Secret("correct horse"))
    assert keytext.PRIVATE.fullmatch(text.reveal())
    assert same(keytext.read_private(text, Secret("correct horse")), key)
    with pytest.raises(SecretError, match="is under a passphrase"):
        keytext.read_private(text)
    with pytest.raises(SecretError, match="does not open with this passphrase"):
        keytext.read_private(text, Secret("battery staple"))


def test_a_member_hands_out_its_public_key() -> None:
    """It holds the name and the box key, and is no private key to the scanner."""
    alice = new_identity("alice")
    text = keytext.public_text(alice)
    assert keytext.read_public(text) == ("alice", alice.public)
    assert not keytext.PRIVATE.search(text)
    with pytest.raises(SecretError, match="not a private key"):
        keytext.read_private(Secret(text))


@pytest.mark.parametrize(
    "text",
    [TEXTS[1], "PGSTRATApk1_alice_AAAA_AAAAAAAA", ""],
    ids=["private", "checksum", "empty"],  # a key is another one in each process
)
def test_no_other_text_is_a_public_key(text: str) -> None:
    """A private key given by mistake is refused, and not repeated."""
    with pytest.raises(SecretError) as caught:
        keytext.read_public(text)
    assert not text or text not in str(caught.value)
