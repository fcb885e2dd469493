"""Who wrote the file: Ed25519 (RFC 8032) over everything but the pending entries.

Needs no secret to verify, so an untrusted CI can. It says that one key wrote all of the file;
whether that is the right key is for ``pins`` to say.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from pgstrata.errors import SecretError
from pgstrata.secrets.sealed.document import (
    FORMAT,
    Document,
    PublicKey,
    Rotation,
    canonical,
    decode,
    encode,
    signed_bytes,
)
from pgstrata.secrets.sealed.keys import key_id

if TYPE_CHECKING:
    from pgstrata.secrets.sealed.keys import EnvironmentKey


def sign(document: Document, key: EnvironmentKey) -> Document:
    """Return the document signed as it stands."""
    return replace(document, signature=encode("sig:", key.signer.sign(signed_bytes(document))))


def verify(document: Document) -> None:
    """Raise ``SecretError`` unless the key that the file names has signed all of it."""
    key = document.key
    whole = key_id(key.box, key.sign) == key.id
    if not (whole and _signed(key, document.signature, signed_bytes(document))):
        raise SecretError(
            f"{document.source} does not verify: it was changed by someone without its key",
            hint="restore the last good version from version control, and find out who changed it",
        )


def certify(old: EnvironmentKey, new: PublicKey) -> Rotation:
    """Return the old key's word that ``new`` takes its place, for those who trust the old."""
    return Rotation(
        old.public, encode("sig:", old.signer.sign(_statement(old.public, new, old.name)))
    )


def follows(document: Document, pinned: str) -> bool:
    """Tell whether rotations lead from the key with the id ``pinned`` to the document's."""
    chain = [*document.rotated_from, Rotation(document.key, "")]
    ids = [link.key.id for link in chain]
    if pinned not in ids:
        return False
    links = pairwise(chain[ids.index(pinned) :])
    return all(_certified(old, new.key, document.environment) for old, new in links)


def require_successor(document: Document, earlier: Document) -> None:
    """Raise ``SecretError`` unless a verified document may have come after ``earlier``."""
    if document.revision < earlier.revision:
        raise SecretError(
            f"{document.source} is revision {document.revision}, and {earlier.source} was "
            f"{earlier.revision} already: an old file was put back",
            hint="restore the newest version",
        )
    if not follows(document, earlier.key.id):
        raise SecretError(
            f"{document.source} is under key {document.key.id}, and {earlier.source} was under "
            f"{earlier.key.id}: no rotation leads from one to the other",
            hint="somebody may have replaced the file: ask the team",
        )


def _certified(old: Rotation, new: PublicKey, environment: str) -> bool:
    own = key_id(old.key.box, old.key.sign) == old.key.id
    return own and _signed(old.key, old.proof, _statement(old.key, new, environment))


def _statement(old: PublicKey, new: PublicKey, environment: str) -> bytes:
    return canonical(FORMAT, "rotation", environment, old.id, new.id, new.box, new.sign)


def _signed(key: PublicKey, signature: str, data: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    public, proof = decode("ed25519:", key.sign), decode("sig:", signature)
    if public is None or proof is None:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(proof, data)
    except (InvalidSignature, ValueError):
        return False
    return True
