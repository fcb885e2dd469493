from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.secrets.sealed.team import PASSWORD

from pgstrata.errors import SecretError
from pgstrata.model import Secret
from pgstrata.secrets.sealed import seal
from pgstrata.secrets.sealed.document import Document, Entry, encode
from pgstrata.secrets.sealed.keys import EnvironmentKey, new_environment_key

KEY = new_environment_key("production")

AWKWARD = [
    "",
    " leading and trailing ",
    "line\nbreaks\r\nand a last one\n",
    "NUL\0in the middle",
    "@format {env[HOME]}",
    "100%s %(x)s %%",
    "'single' \"double\" `back` \\slash\\",
    "pässwörd 🔑 \u200d\u202e",
    "${HOME} ${x:-y} $${z}",
    "12345",
    "null",
    "x" * 10_000,
    "🔑" * 10_000,
    "\udcff lone surrogate",
]


def round_trip(value: str, key: EnvironmentKey = KEY) -> str:
    """Seal a value and open it."""
    box = seal.seal_value(key.public, "production", PASSWORD, Secret(value))
    document = Document("production", key.public)
    return seal.open_value(document, Entry(PASSWORD, box, "2026-11-22"), key)


@settings(deadline=None)
@given(st.text())
def test_any_text_comes_back(value: str) -> None:
    """What was sealed is what is opened."""
    assert round_trip(value) == value


@pytest.mark.parametrize("value", AWKWARD, ids=range(len(AWKWARD)))
def test_awkward_values_come_back(value: str) -> None:
    """Byte for byte: line ends, NUL, emoji, quotes, blanks, length."""
    assert round_trip(value) == value


@pytest.mark.parametrize(
    ("environment", "at", "key"),
    [
        ("staging", PASSWORD, KEY),
        ("production", "connection_settings.sslpassword", KEY),
        ("production", PASSWORD, new_environment_key("production")),
    ],
)
def test_a_value_opens_in_its_own_place_only(
    environment: str, at: str, key: EnvironmentKey
) -> None:
    """Environment, setting and key are part of the seal."""
    box = seal.seal_value(key.public, environment, at, Secret("x"))
    document = Document("production", KEY.public, source="f.yaml")
    with pytest.raises(SecretError, match="does not open") as caught:
        seal.open_value(document, Entry(PASSWORD, box, "2026-11-22", 3, 7), KEY)
    assert "f.yaml:3:7" in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0\1x",
        b"\xff\xff\xff\xff" + bytes(60),
        b"\0\0\0\1x" + b"\1" * 59,
        b"\0\0\0\1\xff" + bytes(59),
    ],
)
def test_what_was_sealed_by_other_rules_is_refused(data: bytes) -> None:
    """Anyone can seal anything to a public key: lengths, padding and text are checked."""
    info = seal._value_info(KEY.public, "production", PASSWORD)
    box = encode("sealed:1:", seal.seal(data, KEY.public.box, info))
    with pytest.raises(SecretError, match="does not open"):
        seal.open_value(Document("production", KEY.public), Entry(PASSWORD, box, "2026-11-22"), KEY)


@pytest.mark.parametrize("box", ["x25519:" + "A" * 43 + "=", "x25519:", "nonsense"])
def test_an_unusable_public_key_is_refused(box: str) -> None:
    """A key that gives no secret, and a text that is no key, are errors of ours."""
    with pytest.raises(SecretError, match="not a usable public key"):
        seal.seal(b"data", box, b"info")


def test_a_value_has_a_largest_size() -> None:
    """A file that was meant for a mounted secret does not go into a sealed one."""
    with pytest.raises(SecretError, match="larger than 256 KiB"):
        round_trip("x" * (seal.MAX_VALUE_BYTES + 1))
