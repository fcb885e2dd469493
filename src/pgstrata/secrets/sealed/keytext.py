"""Keys as text, made to be copied, checked and found by a scanner.

``PGSTRATA<kind>1_<name>_<base32>_<checksum>``, where the kind is ``sk`` (an environment's key),
``id`` (a member's), ``pk`` (a member's public half), or ``skp`` and ``idp`` (the first two under a
passphrase). The checksum, 40 bits of SHA-256, finds what copying damaged; ``PRIVATE`` is the
pattern of every private one.

Texts travel as ``Secret``, and nothing is raised while one is in the clear: a traceback with
locals shows none.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from base64 import b32decode, b32encode
from typing import NamedTuple

from pgstrata.errors import SecretError
from pgstrata.model import Secret
from pgstrata.secrets.sealed.document import FORMAT, canonical, decode, encode
from pgstrata.secrets.sealed.keys import SEED_BYTES, EnvironmentKey, Identity, box_key, public_box
from pgstrata.secrets.sealed.parse import NAME
from pgstrata.secrets.sealed.seal import seal, unseal

PRIVATE = re.compile(r"PGSTRATA(?:sk|id)p?1_[A-Za-z0-9._@-]+_[A-Z2-7]+_[A-Z2-7]{8}")
PASSPHRASE_VARIABLE = "PGSTRATA_PASSPHRASE"  # noqa: S105  # the name of a variable

_TEXT = re.compile(r"PGSTRATA(sk|id|pk|skp|idp)1_(.+)_([A-Z2-7]+)_([A-Z2-7]{8})")
_SALT_BYTES = 16
_SEALED_SEED_BYTES = SEED_BYTES + 48  # what HPKE with X25519 adds: its share and the tag
_SIZES = {
    "sk": SEED_BYTES,
    "id": SEED_BYTES,
    "pk": SEED_BYTES,
    "skp": _SALT_BYTES + _SEALED_SEED_BYTES,
    "idp": _SALT_BYTES + _SEALED_SEED_BYTES,
}


class _Parts(NamedTuple):
    kind: str
    name: str
    payload: bytes


def private_text(key: EnvironmentKey | Identity, passphrase: Secret | None = None) -> Secret:
    """Return the text of a private key, under a passphrase if one is given."""
    kind = "sk" if isinstance(key, EnvironmentKey) else "id"
    if passphrase is None:
        return Secret(_write(kind, key.name, key.reveal()), source=f"key {key.name}")
    salt = secrets.token_bytes(_SALT_BYTES)
    box = public_box(box_key(_stretch(passphrase, salt)))
    payload = salt + seal(key.reveal(), box, _info(kind, key.name))
    return Secret(_write(kind + "p", key.name, payload), source=f"key {key.name}")


def public_text(identity: Identity) -> str:
    """Return what a member hands to the team: its name and public key, ``PGSTRATApk1_…``."""
    return _write("pk", identity.name, decode("x25519:", identity.public) or b"")


def read_public(text: str) -> tuple[str, str]:
    """Return the member's name and its ``x25519:`` key. Raises ``SecretError``."""
    parts = _split(text)
    if parts is None or parts.kind != "pk":
        raise SecretError(
            "this is not the public key of a member",
            hint="it reads PGSTRATApk1_NAME_… and the member's own `secret keygen` shows it",
        )
    return parts.name, encode("x25519:", parts.payload)


def read_private(text: Secret, passphrase: Secret | None = None) -> EnvironmentKey | Identity:
    """Return the key of a text, opened by ``passphrase`` if it is under one.

    Raises ``SecretError`` for a damaged text and for a missing or wrong passphrase.
    """
    found = _parse(text, passphrase)
    if isinstance(found, str):
        raise SecretError(f"the key in {text.source} {found}", hint=_HINTS[found])
    return found


_DAMAGED = "is not a private key of pgstrata, or was damaged in copying"
_LOCKED = "is under a passphrase"
_WRONG = "does not open with this passphrase"
_HINTS = {
    _DAMAGED: "a private key reads PGSTRATAsk1_… or PGSTRATAid1_…: copy it again, whole",
    _LOCKED: f"give the passphrase in {PASSPHRASE_VARIABLE}",
    _WRONG: f"check {PASSPHRASE_VARIABLE}; a forgotten passphrase cannot be recovered",
}


def is_locked(text: Secret) -> bool:
    """Tell whether the text of a private key is under a passphrase."""
    parts = _split(text.reveal())
    return parts is not None and parts.kind.endswith("p")


def _parse(text: Secret, passphrase: Secret | None) -> EnvironmentKey | Identity | str:
    """Return the key, or what is wrong: this frame sees seeds, so it raises nothing."""
    parts = _split(text.reveal())
    if parts is None or parts.kind == "pk":
        return _DAMAGED
    kind, seed = parts.kind[:2], parts.payload
    if parts.kind.endswith("p"):
        if passphrase is None:
            return _LOCKED
        salt, sealed = seed[:_SALT_BYTES], seed[_SALT_BYTES:]
        opened = unseal(sealed, box_key(_stretch(passphrase, salt)), _info(kind, parts.name))
        if opened is None or len(opened) != SEED_BYTES:
            return _WRONG
        seed = opened
    return EnvironmentKey(parts.name, seed) if kind == "sk" else Identity(parts.name, seed)


def _write(kind: str, name: str, payload: bytes) -> str:
    body = b32encode(payload).decode("ascii").rstrip("=")
    return f"PGSTRATA{kind}1_{name}_{body}_{_checksum(kind, name, payload)}"


def _split(text: str) -> _Parts | None:
    match = _TEXT.fullmatch(text)
    if match is None:
        return None
    kind, name, body, _ = match.groups()
    try:
        payload = b32decode(body + "=" * (-len(body) % 8))
    except ValueError:
        return None
    # written again, because the unused bits of a last digit and the checksum must fit too
    whole = len(payload) == _SIZES[kind] and _write(kind, name, payload) == text
    return _Parts(kind, name, payload) if whole and NAME.pattern.fullmatch(name) else None


def _checksum(kind: str, name: str, payload: bytes) -> str:
    digest = hashlib.sha256(canonical(FORMAT, "text", kind, name, payload.hex())).digest()
    return b32encode(digest[:5]).decode("ascii")


def _info(kind: str, name: str) -> bytes:
    return canonical(FORMAT, "passphrase", kind, name)


def _stretch(passphrase: Secret, salt: bytes) -> bytes:
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    # RFC 9106 §4, the second recommended choice: 3 passes, 4 lanes, 64 MiB
    argon = Argon2id(salt=salt, length=SEED_BYTES, iterations=3, lanes=4, memory_cost=64 * 1024)
    return argon.derive(passphrase.reveal().encode("utf-8", "surrogatepass"))
