"""The sealed file as values, and the one way it is written. Needs no cryptography.

A sealed file must equal ``render`` of what it says, byte for byte: so a comment, a blank or another
quoting style, which a signature over the values alone would let pass, is refused too. There is
one exception: a file whose every line ends in CRLF reads as the same file with LF, because git
checks text out like that on Windows.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from dataclasses import dataclass, field

FORMAT = "pgstrata-secrets/1"
SUITE = "hpke-x25519-sha256-chacha20poly1305"
NOTICE = (
    "# Written by `pgstrata secret`; any other change is refused. To check: pgstrata secret verify"
)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """What anyone may know of an environment's key: its id, and where to seal and how to verify.

    ``id`` is 128 bits of base32; ``box`` is ``x25519:`` and ``sign`` is ``ed25519:``, both with
    32 bytes of base64.
    """

    id: str
    box: str
    sign: str


@dataclass(frozen=True, slots=True)
class Rotation:
    """An earlier key, with its signature (``sig:…``) under the key that took its place."""

    key: PublicKey
    proof: str


@dataclass(frozen=True, slots=True)
class Recipient:
    """A member, a CI or a recovery key, and the environment's seed sealed to it (``wrap:1:…``)."""

    name: str
    box: str
    wrap: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One sealed value (``sealed:1:…``), the setting it is for, and the day it was set.

    Lines and columns count from 1 and point at the setting's name in the file.
    """

    at: str
    box: str
    rotated: str
    line: int = field(default=0, compare=False)
    column: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Document:
    """A whole sealed file. ``source`` names it in messages.

    Everything but ``pending`` is covered by ``signature``. ``pending`` holds what people without
    the key have sealed; nothing reads it before a holder of the key accepts it.
    """

    environment: str
    key: PublicKey
    rotated_from: tuple[Rotation, ...] = ()
    recipients: tuple[Recipient, ...] = ()
    entries: tuple[Entry, ...] = ()
    pending: tuple[Entry, ...] = ()
    revision: int = 0
    signature: str = ""
    source: str = field(default="", compare=False)


def canonical(*parts: object) -> bytes:
    """Return the one compact ASCII JSON text of ``parts``: what is signed, hashed and bound to."""
    text = json.dumps(parts, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return text.encode("ascii")


def signed_bytes(document: Document) -> bytes:
    """Return what the signature covers: everything but ``pending`` and the signature itself."""
    return canonical(
        FORMAT,
        SUITE,
        "attest",
        document.environment,
        _key(document.key),
        [[_key(old.key), old.proof] for old in document.rotated_from],
        [[member.name, member.box, member.wrap] for member in document.recipients],
        [[entry.at, entry.box, entry.rotated] for entry in document.entries],
        document.revision,
    )


def _key(key: PublicKey) -> list[str]:
    return [key.id, key.box, key.sign]


def checksum(document: Document, entry: Entry) -> str:
    """Return the ``sum`` of a pending entry: finds damage. Only ``accept`` can find a forgery."""
    parts = canonical(FORMAT, document.environment, document.key.id, *_fields(entry))
    return "sha256:" + hashlib.sha256(parts).hexdigest()


def _fields(entry: Entry) -> list[str]:
    return [entry.at, entry.box, entry.rotated]


def render(document: Document) -> bytes:
    """Return the file: ASCII, LF, one value a line, lists in the order of their names."""
    lines = [
        NOTICE,
        f"format: {FORMAT}",
        f"environment: {document.environment}",
        f"suite: {SUITE}",
        f"key: {{{_flow(document.key)}}}",
        *_section("rotated_from", [_rotation(old) for old in document.rotated_from]),
        *_section("recipients", [_recipient(member) for member in document.recipients]),
        *_section("entries", [_entry(entry) for entry in document.entries]),
        *_section("pending", [_pending(document, entry) for entry in document.pending]),
        f'attest: {{revision: {document.revision}, signature: "{document.signature}"}}',
    ]
    return "".join(line + "\n" for line in lines).encode("ascii")


def _section(name: str, items: list[str]) -> list[str]:
    return [f"{name}:", *items] if items else [f"{name}: []"]


def _flow(key: PublicKey) -> str:
    return f'id: {key.id}, box: "{key.box}", sign: "{key.sign}"'


def _rotation(old: Rotation) -> str:
    return f'- {{{_flow(old.key)}, proof: "{old.proof}"}}'


def _recipient(member: Recipient) -> str:
    return f'- {{name: {member.name}, box: "{member.box}", wrap: "{member.wrap}"}}'


def _entry(entry: Entry) -> str:
    # "at" and "box", not "password: sealed…": secret scanners take the latter for a leaked password
    return f'- at: {entry.at}\n  box: "{entry.box}"\n  rotated: {entry.rotated}'


def _pending(document: Document, entry: Entry) -> str:
    return f'{_entry(entry)}\n  sum: "{checksum(document, entry)}"'


def encode(prefix: str, data: bytes) -> str:
    """Return ``prefix`` and the base64 of ``data``."""
    return prefix + b64encode(data).decode("ascii")


def decode(prefix: str, text: str) -> bytes | None:
    """Return the bytes of a text that ``encode`` wrote; None for any other.

    The text is compared with its own encoding: the unused bits of a last base64 digit could be
    changed unnoticed otherwise.
    """
    try:
        data = b64decode(text.removeprefix(prefix), validate=True)
    except ValueError:
        return None
    return data if encode(prefix, data) == text else None
