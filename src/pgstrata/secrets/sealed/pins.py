"""The key that a user has seen first, as ``known_hosts`` keeps it.

A signature alone would let anyone who can write to the repository make a whole new file under a
key of their own. So the id seen first is kept for each user, project and environment, or given by
``PGSTRATA_KEY_ID_<ENV>``. A pin reads ``ID`` or ``ID@REVISION``; files below that revision are
refused as old ones played again.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, NamedTuple

from pgstrata.errors import SecretError
from pgstrata.secrets.sealed.attest import follows
from pgstrata.secrets.sealed.files import lock, write

if TYPE_CHECKING:
    from pathlib import Path

    from pgstrata.secrets.sealed.access import Access
    from pgstrata.secrets.sealed.document import Document

logger = logging.getLogger("pgstrata.secrets")
_PIN = re.compile(r"([A-Z2-7]{26})(?:@([0-9]{1,9}))?\s*")


class Pin(NamedTuple):
    """The id of the trusted key, the oldest revision to accept, and where that is written."""

    id: str
    revision: int
    source: str


def path(access: Access) -> Path:
    """Return the file that keeps this user's pin. Raises ``SecretError`` where none can."""
    return access.config_folder / "pins" / access.project.name / f"{access.environment}.pin"


def find(access: Access) -> Pin | None:
    """Return the pin of the variable, or else of the file. Raises ``SecretError`` if malformed."""
    name = access.variable_name("KEY_ID")
    if access.variable(name):
        return _valid(_parse(access.variable(name), f"env {name}"), f"env {name}")
    if access.own_folder is None:
        return None
    kept = path(access)
    try:
        return _valid(_parse(kept.read_text("ascii"), str(kept)), str(kept))
    except (FileNotFoundError, NotADirectoryError):  # a service's home may be /dev/null
        return None
    except (OSError, UnicodeDecodeError):
        raise SecretError(
            f"the pin {kept} cannot be read", hint=f"make it readable, or set {name}"
        ) from None


def remember(document: Document, access: Access, *, revision: int = 0) -> None:
    """Keep the key of a verified document, and the oldest revision to accept from now on."""
    if access.own_folder is None:
        raise _forgotten(document, access, "this account has no home folder", "set HOME")
    target = path(access)
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with lock(target):
            write(target, f"{document.key.id}@{revision}\n".encode("ascii"), mode=0o600)
    except (OSError, SecretError):
        why = f"{target} cannot be written"
        raise _forgotten(document, access, why, "make the folder writable") from None


def _forgotten(document: Document, access: Access, why: str, remedy: str) -> SecretError:
    return SecretError(
        f"the key of {document.source} cannot be remembered: {why}",
        hint=f"{remedy}, or set {access.variable_name('KEY_ID')} to {document.key.id} after "
        "comparing it with a team member's",
    )


def check(document: Document, access: Access, *, direct: bool) -> None:
    """Raise ``SecretError`` unless a verified document is under the pinned key.

    A first key is remembered, unless the environment's own key is at hand (``direct``): that is a
    pin by itself. A key that the pinned one has certified takes its place; in a variable only its
    owner can do that, so it is asked for: the old key's holders may no longer be trusted.
    """
    pin = find(access)
    if pin is None:
        if not direct:
            remember(document, access)
        return
    if pin.id != document.key.id and not follows(document, pin.id):
        raise _changed(document, pin)
    if document.revision < pin.revision:
        raise SecretError(
            f"{document.source} is revision {document.revision}, and {pin.source} asks for "
            f"{pin.revision} at least: an old file was put back",
            hint="restore the newest version, or lower the pin if going back was meant",
        )
    if pin.id == document.key.id:
        return
    if not pin.source.startswith("env "):
        remember(document, access, revision=pin.revision)
        return
    logger.warning(
        "%s still trusts %s, a key of %s that was replaced: whoever had it can put a file of their "
        "own in place; set it to %s",
        *(pin.source, pin.id, document.source, document.key.id),
    )


def _changed(document: Document, pin: Pin) -> SecretError:
    return SecretError(
        f"{document.source} is under key {document.key.id}, and {pin.source} trusts {pin.id}: "
        "someone may have replaced the file, and no rotation leads from one to the other",
        hint="ask the team whether the key was replaced; only if so, change that pin. If it is "
        "that of another project whose folder has the same name, this one needs PGSTRATA_KEY_ID_…",
    )


def _parse(text: str, source: str) -> Pin | None:
    match = _PIN.fullmatch(text)
    return Pin(match[1], int(match[2] or 0), source) if match else None


def _valid(pin: Pin | None, source: str) -> Pin:
    """Refuse what is no pin, in a frame that does not hold the text: it may be a mislaid key."""
    if pin is None:
        raise SecretError(
            f"the pin in {source} is not the id of a key",
            hint="it reads ID or ID@REVISION; `pgstrata secret verify` shows them",
        )
    return pin
