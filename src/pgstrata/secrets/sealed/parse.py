"""Bytes -> Document, by a closed schema: whatever is not expected is refused with its place.

Needs no key and no cryptography, so ``show`` and ``diff`` can name the line of a sealed entry.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

import yaml

from pgstrata.errors import SecretError
from pgstrata.secrets.sealed.document import (
    FORMAT,
    SUITE,
    Document,
    Entry,
    PublicKey,
    Recipient,
    Rotation,
    render,
)
from pgstrata.secrets.sealed.nodes import Findings, Shape, compose, fields, items, text, texts

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 4 * 2**20

_BASE64 = "[A-Za-z0-9+/]"
AT = Shape(
    re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}(\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62}){0,7}"),
    "the dotted name of a setting",
)
NAME = Shape(re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}"), "a name: letters, digits, '._@-'")
KEY_ID = Shape(re.compile(r"[A-Z2-7]{26}"), "a key id of 26 characters")
BOX = Shape(re.compile(rf"x25519:{_BASE64}{{43}}="), "an 'x25519:' key")
_SIGN = Shape(re.compile(rf"ed25519:{_BASE64}{{43}}="), "an 'ed25519:' key")
_SIGNATURE = Shape(re.compile(rf"sig:{_BASE64}{{86}}=="), "a 'sig:' signature")
_WRAP = Shape(re.compile(rf"wrap:1:{_BASE64}{{106,107}}={{1,2}}"), "a 'wrap:1:' box")
_SEALED = Shape(re.compile(rf"sealed:1:{_BASE64}+={{0,2}}"), "a 'sealed:1:' box")
_DAY = Shape(re.compile(r"\d{4}-\d{2}-\d{2}"), "a day: YYYY-MM-DD")
_SUM = Shape(re.compile(r"sha256:[0-9a-f]{64}"), "a 'sha256:' sum")
_REVISION = Shape(re.compile(r"[1-9][0-9]{0,8}"), "a number from 1 on")

_KEY = {"id": KEY_ID, "box": BOX, "sign": _SIGN}
_ROTATION = {**_KEY, "proof": _SIGNATURE}
_RECIPIENT = {"name": NAME, "box": BOX, "wrap": _WRAP}
_ENTRY = {"at": AT, "box": _SEALED, "rotated": _DAY}
_PENDING = {**_ENTRY, "sum": _SUM}
_ATTEST = {"revision": _REVISION, "signature": _SIGNATURE}
_DOCUMENT = (
    "format",
    "environment",
    "suite",
    "key",
    "rotated_from",
    "recipients",
    "entries",
    "pending",
    "attest",
)


def read(path: Path, environment: str) -> Document:
    """Read and check the sealed file of an environment; says nothing about who wrote it.

    Raises ``InvalidConfigError`` with every finding, ``SecretError`` where there is no such file.
    """
    source = f"{path.parent.name}/{path.name}"
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SecretError(
            f"{source} cannot be read: {error.strerror}",
            hint=f"`pgstrata secret keygen -e {environment}` makes the file",
        ) from None
    return parse(raw, environment, source)


def parse(raw: bytes, environment: str, source: str) -> Document:
    """Return the document that ``raw`` holds. Raises ``InvalidConfigError`` with every finding."""
    findings = Findings(source)
    content = _content(raw, findings)
    document = _document(compose(content, findings), environment, findings)
    _check_writing(content, render(document).decode("ascii"), findings)
    return document


def _content(raw: bytes, findings: Findings) -> str:
    if len(raw) > MAX_BYTES:
        raise findings.refuse(f"the file is larger than {MAX_BYTES // 2**20} MiB", 1, 1)
    if raw.count(b"\n") == raw.count(b"\r\n"):
        raw = raw.replace(b"\r\n", b"\n")
    content = raw.decode("latin-1")
    strange = re.search(r"[^ -~\n]", content)
    if strange:
        line, column = _place(content, strange.start())
        raise findings.refuse("a sealed file holds no such character", line, column)
    return content


def _place(content: str, index: int) -> tuple[int, int]:
    return content.count("\n", 0, index) + 1, index - content.rfind("\n", 0, index)


def _document(root: yaml.Node, environment: str, findings: Findings) -> Document:
    top = fields(root, _DOCUMENT, findings)
    _check_head(top, environment, findings)
    findings.check()
    attest = texts(top["attest"], _ATTEST, findings)
    document = Document(
        environment=environment,
        key=PublicKey(**texts(top["key"], _KEY, findings)),
        rotated_from=items(top["rotated_from"], _rotation, findings),
        recipients=items(top["recipients"], _recipient, findings),
        entries=items(top["entries"], _entry, findings),
        pending=items(top["pending"], _pending, findings),
        revision=int(attest["revision"] or 0),
        signature=attest["signature"],
        source=findings.source,
    )
    _check_order(document, top, findings)
    findings.check()
    return document


def _check_head(top: dict[str, yaml.Node], environment: str, findings: Findings) -> None:
    for name, expected in (("format", FORMAT), ("environment", environment), ("suite", SUITE)):
        shape = Shape(re.compile(re.escape(expected)), f"{expected} for this file and this version")
        if name in top:
            text(top[name], shape, name, findings)


def _check_order(document: Document, top: dict[str, yaml.Node], findings: Findings) -> None:
    names = {
        "recipients": [member.name for member in document.recipients],
        "entries": [entry.at for entry in document.entries],
        "pending": [entry.at for entry in document.pending],
    }
    for section, found in names.items():
        if any(first >= second for first, second in pairwise(found)):
            findings.add(f"{section!r} must name each once, in order", top[section])


def _rotation(node: yaml.Node, findings: Findings) -> Rotation:
    found = texts(node, _ROTATION, findings)
    proof = found.pop("proof")
    return Rotation(PublicKey(**found), proof)


def _recipient(node: yaml.Node, findings: Findings) -> Recipient:
    return Recipient(**texts(node, _RECIPIENT, findings))


def _entry(node: yaml.Node, findings: Findings) -> Entry:
    return _placed(texts(node, _ENTRY, findings), node)


def _pending(node: yaml.Node, findings: Findings) -> Entry:
    # its sum is not kept but made again by render, and so compared
    return _placed(texts(node, _PENDING, findings), node)


def _placed(found: dict[str, str], node: yaml.Node) -> Entry:
    first = node.value[0][1] if isinstance(node, yaml.MappingNode) and node.value else node
    line, column = first.start_mark.line + 1, first.start_mark.column + 1
    return Entry(found["at"], found["box"], found["rotated"], line, column)


def _check_writing(content: str, expected: str, findings: Findings) -> None:
    if content == expected:
        return
    pairs = enumerate(zip(content, expected, strict=False))
    same = min(len(content), len(expected))
    at = next((index for index, (one, other) in pairs if one != other), same)
    raise findings.refuse("this is not as pgstrata wrote it", *_place(content, at))
