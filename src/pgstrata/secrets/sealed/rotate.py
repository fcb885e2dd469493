"""A new key for an environment: everything is sealed again, and the old key certifies the new."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from pgstrata.errors import SecretError
from pgstrata.model import Secret
from pgstrata.secrets.sealed import attest, files, seal
from pgstrata.secrets.sealed.edit import save
from pgstrata.secrets.sealed.keys import new_environment_key
from pgstrata.secrets.sealed.keytext import private_text
from pgstrata.secrets.sealed.opened import open_trusted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pgstrata.secrets.sealed.access import Access
    from pgstrata.secrets.sealed.document import Document, Entry
    from pgstrata.secrets.sealed.keys import EnvironmentKey


class Rotated(NamedTuple):
    """The new key, and the settings whose values were known to holders of the old one."""

    key: EnvironmentKey
    exposed: tuple[str, ...]


def rotate_key(
    path: Path, access: Access, *, keep: Callable[[Secret], None] | None = None
) -> Rotated:
    """Give the environment a new key, sealed to the same recipients.

    ``keep`` stores the text of the environment's key where it is kept apart from the recipients'
    boxes. It is called with both keys before the file is replaced, and with the new one after: a
    process that dies in between locks nobody out. Raises ``SecretError`` without the old key, and
    where the new one would be kept nowhere.
    """
    return _rotate(path, access, keep, leaver=None)


def remove_recipient(
    path: Path, access: Access, name: str, *, keep: Callable[[Secret], None] | None = None
) -> Rotated:
    """Take out a recipient, who knows the old key: so there is a new one, as in ``rotate_key``.

    What the leaver knew, ``exposed``, must be changed where it is used; sealing cannot do that.
    """
    return _rotate(path, access, keep, leaver=name)


def _rotate(
    path: Path, access: Access, keep: Callable[[Secret], None] | None, leaver: str | None
) -> Rotated:
    with files.lock(path):
        opened = open_trusted(path, access)
        old, new = opened.require_key(access), new_environment_key(access.environment)
        after = _sealed_again(_without(opened.document, leaver), old, new)
        if keep is None and not after.recipients:
            raise SecretError(
                f"{after.source} has no recipients, so its new key would be lost",
                hint="add a recipient first, or say where the key is to be kept",
            )
        if keep:
            keep(_both(new, old))
        save(path, attest.sign(after, new))
        if keep:
            keep(private_text(new))
    return Rotated(new, tuple(entry.at for entry in after.entries))


def _both(new: EnvironmentKey, old: EnvironmentKey) -> Secret:
    texts = [private_text(key).reveal() for key in (new, old)]
    return Secret("\n".join(texts), source=f"key {new.name}")


def _without(document: Document, leaver: str | None) -> Document:
    members = tuple(member for member in document.recipients if member.name != leaver)
    if leaver is not None and members == document.recipients:
        raise SecretError(
            f"{leaver} is no recipient of {document.source}",
            hint="its recipients are " + ", ".join(member.name for member in members),
        )
    return replace(document, recipients=members)


def _sealed_again(document: Document, old: EnvironmentKey, new: EnvironmentKey) -> Document:
    def again(entry: Entry) -> Entry:
        value = Secret(seal.open_value(document, entry, old))
        box = seal.seal_value(new.public, document.environment, entry.at, value)
        return replace(entry, box=box)

    return replace(
        document,
        key=new.public,
        rotated_from=(*document.rotated_from, attest.certify(old, new.public)),
        recipients=tuple(seal.wrap(new, member.name, member.box) for member in document.recipients),
        entries=tuple(again(entry) for entry in document.entries),
        pending=tuple(again(entry) for entry in document.pending),
        revision=document.revision + 1,
    )
