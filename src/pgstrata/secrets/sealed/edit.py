"""Changing a sealed file: under its lock, from a trusted old file to a whole new one."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal

from pgstrata.errors import SecretError, UsageError
from pgstrata.model import Secret
from pgstrata.secrets.sealed import attest, files, seal
from pgstrata.secrets.sealed.document import Document, Entry, Recipient, render
from pgstrata.secrets.sealed.keys import new_environment_key
from pgstrata.secrets.sealed.opened import open_trusted
from pgstrata.secrets.sealed.parse import AT, BOX, NAME, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import date
    from pathlib import Path

    from pgstrata.secrets.sealed.access import Access
    from pgstrata.secrets.sealed.keys import EnvironmentKey


def create(path: Path, environment: str, recipients: Iterable[tuple[str, str]]) -> EnvironmentKey:
    """Make a sealed file without entries, and its key.

    ``recipients`` are names with their ``x25519:`` keys. The key is only in what is returned and in
    the recipients' boxes. Raises ``UsageError`` if the file exists, ``SecretError`` if it cannot
    be written.
    """
    key = new_environment_key(environment)
    members = tuple(_member(key, name, box) for name, box in sorted(recipients))
    document = Document(environment, key.public, recipients=members, revision=1, source=path.name)
    with files.lock(path):
        if path.exists():
            raise UsageError(f"{path} exists", hint="change it with `pgstrata secret set`")
        save(path, attest.sign(document, key))
    return key


def set_entry(
    path: Path,
    access: Access,
    at: str,
    value: Secret,
    *,
    pending: bool = False,
    today: date | None = None,
) -> Literal["entries", "pending"]:
    """Seal a value for the setting ``at``, and return where it went, as ``set_entries`` does."""
    return set_entries(path, access, {at: value}, pending=pending, today=today)


def set_entries(
    path: Path,
    access: Access,
    values: Mapping[str, Secret],
    *,
    remove: Iterable[str] = (),
    pending: bool = False,
    today: date | None = None,
) -> Literal["entries", "pending"]:
    """Seal values for settings, and return where they went; take out those of ``remove``.

    With the key they become entries, and pending ones for the same settings are dropped. Without
    it, or if ``pending`` is asked for, they become pending: sealed by the public key, which the
    file's signature and the pin vouch for. Raises ``SecretError`` and ``InvalidConfigError`` as
    ``open_trusted`` does, and ``SecretError`` if something is to be removed without the key.
    """
    if not all(AT.pattern.fullmatch(at) for at in values):
        raise UsageError(  # not quoted: it may be a value in the wrong place
            "this is not the name of a setting", hint=f"it needs {AT.words}"
        )
    day = str(today or datetime.now(timezone.utc).date())
    with files.lock(path):
        opened = open_trusted(path, access)
        document, key = opened.document, opened.key
        if remove:
            key = opened.require_key(access)
        new = [
            Entry(at, seal.seal_value(document.key, document.environment, at, value), day)
            for at, value in values.items()
        ]
        if key is None or pending:
            save(path, replace(document, pending=_put(document.pending, *new)))
            return "pending"
        after = _with_entries(document, new)
        for at in remove:
            after = replace(after, entries=_without(after.entries, at))
        _save_next(path, after, key)
        return "entries"


def remove_entry(path: Path, access: Access, at: str) -> None:
    """Take out an entry and its pending one. Raises ``SecretError`` without the key."""

    def remove(document: Document, _: EnvironmentKey) -> Document:
        entries, pending = _without(document.entries, at), _without(document.pending, at)
        if (entries, pending) == (document.entries, document.pending):
            raise SecretError(
                f"{document.source} holds nothing for {at}",
                hint=f"`pgstrata secret list -e {document.environment}` shows what it holds",
            )
        return replace(document, entries=entries, pending=pending)

    change(path, access, remove)


def accept(path: Path, access: Access, ats: Iterable[str] | None = None) -> tuple[str, ...]:
    """Make pending values entries: all, or those of the settings ``ats``. Returns their settings.

    Each must open, so what was sealed for another setting or key is refused. Raises
    ``SecretError`` without the key.
    """
    accepted: list[Entry] = []

    def take(document: Document, key: EnvironmentKey) -> Document:
        accepted.extend(_pending(document, ats))
        for entry in accepted:
            seal.open_value(document, entry, key)
        return _with_entries(document, accepted)

    change(path, access, take)
    return tuple(entry.at for entry in accepted)


def values(path: Path, access: Access) -> dict[str, Secret]:
    """Return all entries, opened. Raises ``SecretError`` without the key."""
    opened = open_trusted(path, access)
    key = opened.require_key(access)
    return {
        entry.at: Secret(seal.open_value(opened.document, entry, key), source=path.name)
        for entry in opened.document.entries
    }


def reject(path: Path, access: Access, ats: Iterable[str] | None = None) -> tuple[str, ...]:
    """Drop pending values, whether they open or not. Raises ``SecretError`` without the key."""
    rejected: list[Entry] = []

    def drop(document: Document, _: EnvironmentKey) -> Document:
        rejected.extend(_pending(document, ats))
        left = tuple(entry for entry in document.pending if entry not in rejected)
        return replace(document, pending=left)

    change(path, access, drop)
    return tuple(entry.at for entry in rejected)


def add_recipient(path: Path, access: Access, name: str, box: str) -> None:
    """Seal the environment's key to a member. Raises ``SecretError`` without the key."""

    def add(document: Document, key: EnvironmentKey) -> Document:
        if any(name == member.name or box == member.box for member in document.recipients):
            raise UsageError(
                f"{name}, or its key, is a recipient already",
                hint="a member has one name and one key in a file",
            )
        members = (*document.recipients, _member(key, name, box))
        return replace(document, recipients=tuple(sorted(members, key=lambda member: member.name)))

    change(path, access, add)


def change(
    path: Path, access: Access, step: Callable[[Document, EnvironmentKey], Document]
) -> None:
    """Replace the document by what ``step`` makes of it, as the next revision, signed."""
    with files.lock(path):
        opened = open_trusted(path, access)
        key = opened.require_key(access)
        after = step(opened.document, key)
        if after != opened.document:
            _save_next(path, after, key)


def _save_next(path: Path, document: Document, key: EnvironmentKey) -> None:
    save(path, attest.sign(replace(document, revision=document.revision + 1), key))


def save(path: Path, document: Document) -> None:
    """Write a document, unless it could not be read again."""
    raw = render(document)
    attest.verify(parse(raw, document.environment, document.source))
    files.write(path, raw)


def _member(key: EnvironmentKey, name: str, box: str) -> Recipient:
    for shape, text in ((NAME, name), (BOX, box)):
        if not shape.pattern.fullmatch(text):
            raise UsageError(
                f"a recipient has {NAME.words}, and {BOX.words}",
                hint="take both from the member's own text, PGSTRATApk1_…",
            )
    return seal.wrap(key, name, box)


def _with_entries(document: Document, new: Iterable[Entry]) -> Document:
    entries, pending = document.entries, document.pending
    for entry in new:
        entries, pending = _put(entries, entry), _without(pending, entry.at)
    return replace(document, entries=entries, pending=pending)


def _put(entries: tuple[Entry, ...], *new: Entry) -> tuple[Entry, ...]:
    by_name = {entry.at: entry for entry in (*entries, *new)}
    return tuple(by_name[at] for at in sorted(by_name))


def _without(entries: tuple[Entry, ...], at: str) -> tuple[Entry, ...]:
    return tuple(entry for entry in entries if entry.at != at)


def _pending(document: Document, ats: Iterable[str] | None) -> list[Entry]:
    """Return the pending entries of some settings, or all. Raises ``SecretError`` for others."""
    found = {entry.at: entry for entry in document.pending}
    wanted = found.keys() if ats is None else set(ats)
    if missing := wanted - found.keys():
        raise SecretError(
            f"{document.source} has nothing pending for {', '.join(sorted(missing))}",
            hint=f"`pgstrata secret list -e {document.environment}` shows what is pending",
        )
    return [found[at] for at in sorted(wanted)]
