"""Three-way merge of sealed files, as git's merge driver: ``%O %A %B``.

Two branches that add different entries conflict in the signature's line for git. With the key,
the union is signed as a new revision. Without it, what the other branch set becomes pending on top
of our file, whose signature stays good: so a merge by someone without the key breaks nothing, and
vouches for nothing. Files that do not verify are never merged: a signature would launder them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from pgstrata.errors import SecretError
from pgstrata.secrets.sealed import attest, lookup, pins
from pgstrata.secrets.sealed.attest import follows
from pgstrata.secrets.sealed.document import Document, Entry, Recipient
from pgstrata.secrets.sealed.edit import save
from pgstrata.secrets.sealed.parse import read

if TYPE_CHECKING:
    from pathlib import Path

    from pgstrata.secrets.sealed.access import Access
    from pgstrata.secrets.sealed.keys import EnvironmentKey

_T = TypeVar("_T", Entry, Recipient)


def merge_files(base: Path, ours: Path, theirs: Path, access: Access) -> None:
    """Merge into ``ours``. Raises ``SecretError``, and leaves it alone, where a person must choose.

    The three are git's own temporary files; ``access`` names the environment and the project.
    """
    old, mine, other = (_verified(path, access) for path in (base, ours, theirs))
    found = lookup.find(mine, access)
    pins.check(mine, access, direct=found.direct)
    save(ours, merge(old, mine, other, found.key))


def _verified(path: Path, access: Access) -> Document:
    document = read(path, access.environment)
    attest.verify(document)
    return document


def merge(base: Document, ours: Document, theirs: Document, key: EnvironmentKey | None) -> Document:
    """Return the merge of verified documents; ``key`` is that of ours, or None.

    Raises ``SecretError`` where both sides changed the same thing, where both changed something and
    one rotated the key, and where the key is needed and missing.
    """
    if _signed_part(theirs) in (_signed_part(ours), _signed_part(base)):
        return _take(base, ours, theirs)
    if _signed_part(ours) == _signed_part(base):
        return _take(base, theirs, ours)
    if not base.key == ours.key == theirs.key:
        raise _conflict(ours, "one branch rotated the key while the other changed something")
    return _sign_union(base, ours, theirs, key) if key else _pend(base, ours, theirs)


def _signed_part(document: Document) -> Document:
    return replace(document, pending=())


def _take(base: Document, changed: Document, other: Document) -> Document:
    """Return ``changed`` with what the other side, which changed nothing else, has pending."""
    if changed.key == other.key:
        pending = _merged(changed, base.pending, changed.pending, other.pending)
        return replace(changed, pending=pending)
    if other.pending != base.pending:
        raise _conflict(changed, "one branch rotated the key, the other sealed to the earlier one")
    if not (follows(changed, other.key.id) or follows(other, changed.key.id)):
        raise _conflict(changed, "the branches are under keys that no rotation connects")
    return changed


def _sign_union(base: Document, ours: Document, theirs: Document, key: EnvironmentKey) -> Document:
    merged = replace(
        ours,
        recipients=_merged(ours, base.recipients, ours.recipients, theirs.recipients),
        entries=_merged(ours, base.entries, ours.entries, theirs.entries),
        pending=_merged(ours, base.pending, ours.pending, theirs.pending),
        revision=max(ours.revision, theirs.revision) + 1,
    )
    return attest.sign(merged, key)


def _pend(base: Document, ours: Document, theirs: Document) -> Document:
    """Return ours with what theirs has set as pending: only the key could sign it."""
    merged = _merged(ours, base.entries, ours.entries, theirs.entries)
    new = tuple(entry for entry in merged if entry not in ours.entries)
    removed = {entry.at for entry in ours.entries} - {entry.at for entry in merged}
    if removed or theirs.recipients != base.recipients:
        raise _conflict(ours, "the other branch removed an entry or changed the recipients")
    theirs_pending = tuple(sorted({*theirs.pending, *new}, key=_name))
    return replace(ours, pending=_merged(ours, base.pending, ours.pending, theirs_pending))


def _merged(
    document: Document, base: tuple[_T, ...], ours: tuple[_T, ...], theirs: tuple[_T, ...]
) -> tuple[_T, ...]:
    """Return the three-way merge of lists of things with names."""
    old, mine, other = ({_name(item): item for item in side} for side in (base, ours, theirs))
    names = sorted(mine.keys() | other.keys())
    both = [name for name in names if not _one_side(old.get(name), mine.get(name), other.get(name))]
    if both:
        raise _conflict(document, f"both branches changed {', '.join(both)}")
    picked = [
        other.get(name) if mine.get(name) == old.get(name) else mine.get(name) for name in names
    ]
    return tuple(item for item in picked if item is not None)


def _one_side(base: _T | None, ours: _T | None, theirs: _T | None) -> bool:
    return ours == theirs or base in (ours, theirs)


def _name(item: Entry | Recipient) -> str:
    return item.at if isinstance(item, Entry) else item.name


def _conflict(document: Document, what: str) -> SecretError:
    return SecretError(
        f"{document.source} cannot be merged: {what}",
        hint="take one side whole (git checkout --ours or --theirs), then make the other side's "
        "change again with `pgstrata secret`",
    )
