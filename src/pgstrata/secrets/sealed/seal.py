"""HPKE (RFC 9180, base mode): X25519, HKDF-SHA256, ChaCha20-Poly1305, as ``cryptography`` has it.

Context goes into HPKE's ``info``: format, suite, purpose, environment, key id and path. So a box
opens only in the place that it was made for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgstrata.errors import SecretError
from pgstrata.secrets.sealed.document import (
    FORMAT,
    SUITE,
    Document,
    Entry,
    PublicKey,
    Recipient,
    canonical,
    decode,
    encode,
)
from pgstrata.secrets.sealed.keys import SEED_BYTES, EnvironmentKey, Identity

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.hpke import Suite

    from pgstrata.model import Secret

_BLOCK = 64
_LENGTH_BYTES = 4
MAX_VALUE_BYTES = 256 * 1024


def seal(data: bytes, box: str, info: bytes) -> bytes:
    """Return ``data`` sealed to an ``x25519:`` key. Raises ``SecretError`` for an unusable key."""
    sealed = _encrypt(data, box, info)
    del data  # so that a traceback with locals has no plaintext to show
    if sealed is None:
        raise SecretError(
            f"{box} is not a usable public key",
            hint="ask its owner for it again, and copy it whole",
        )
    return sealed


def _encrypt(data: bytes, box: str, info: bytes) -> bytes | None:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

    try:
        public = X25519PublicKey.from_public_bytes(decode("x25519:", box) or b"")
        return _suite().encrypt(data, public, info)
    except ValueError:
        return None


def unseal(data: bytes, box: X25519PrivateKey, info: bytes) -> bytes | None:
    """Return what was sealed; None for another key, another ``info`` or damaged data."""
    from cryptography.exceptions import InvalidTag

    try:
        return _suite().decrypt(data, box, info)
    except InvalidTag:
        return None


def _suite() -> Suite:
    from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

    return Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


def seal_value(key: PublicKey, environment: str, at: str, value: Secret) -> str:
    """Return the ``sealed:1:`` text of a value. Raises ``SecretError`` if it is too large.

    Only the public half of the key is needed: who adds a value need not be able to read others.
    """
    data = value.reveal().encode("utf-8", "surrogatepass")
    if len(data) > MAX_VALUE_BYTES:
        del data
        raise SecretError(
            f"the value for {at} is larger than {MAX_VALUE_BYTES // 1024} KiB",
            hint="keep a file like that in a mounted secret, and name it with from_file",
        )
    return encode("sealed:1:", seal(_pad(data), key.box, _value_info(key, environment, at)))


def open_value(document: Document, entry: Entry, key: EnvironmentKey) -> str:
    """Return the value of an entry. Raises ``SecretError`` if it was sealed for another place."""
    info = _value_info(document.key, document.environment, entry.at)
    padded = unseal(decode("sealed:1:", entry.box) or b"", key.box, info)
    value = None if padded is None else _unpad(padded)
    if value is None:
        raise SecretError(
            f"{document.source}:{entry.line}:{entry.column}: the value of {entry.at} does not open",
            hint="it was sealed for another setting, environment or key: set it again",
        )
    return value


def _value_info(key: PublicKey, environment: str, at: str) -> bytes:
    return canonical(FORMAT, SUITE, "value", environment, key.id, at)


def _pad(data: bytes) -> bytes:
    """Return ``data`` after its length, filled with zeros to a multiple of 64 bytes.

    So that the length of a box tells only the class of lengths that a password is in.
    """
    framed = len(data).to_bytes(_LENGTH_BYTES, "big") + data
    return framed + bytes(-len(framed) % _BLOCK)


def _unpad(padded: bytes) -> str | None:
    length = int.from_bytes(padded[:_LENGTH_BYTES], "big")
    data = padded[_LENGTH_BYTES : _LENGTH_BYTES + length]
    if _pad(data) != padded:
        return None
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None


def wrap(key: EnvironmentKey, name: str, box: str) -> Recipient:
    """Return a recipient that can take the environment's key from the file."""
    info = _wrap_info(key.public, key.name, name)
    return Recipient(name, box, encode("wrap:1:", seal(key.reveal(), box, info)))


def unwrap(document: Document, member: Recipient, identity: Identity) -> EnvironmentKey | None:
    """Return the environment's key; None if it does not open or is not the key of this file."""
    info = _wrap_info(document.key, document.environment, member.name)
    seed = unseal(decode("wrap:1:", member.wrap) or b"", identity.box, info)
    if seed is None or len(seed) != SEED_BYTES:
        return None
    key = EnvironmentKey(document.environment, seed)
    return key if key.public == document.key else None


def _wrap_info(key: PublicKey, environment: str, name: str) -> bytes:
    return canonical(FORMAT, SUITE, "wrap", environment, key.id, name)
