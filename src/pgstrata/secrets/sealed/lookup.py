"""Where a private key may be, in order. The first place that holds anything decides.

A key that is there and wrong is an error: looking further would let a stale or planted key pass
unnoticed. One exception: a user's own identity is for many files, so one that is no recipient of
this file is no wrong key, and its owner may still seal what a holder of the key accepts.

Variables that are empty count as not set, as CI systems leave them where a secret is not given. The
OS keyring comes last, because asking it is slow.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pgstrata.errors import SecretError
from pgstrata.model import Secret
from pgstrata.secrets import keyring
from pgstrata.secrets.sealed import keyfile, keytext
from pgstrata.secrets.sealed.keys import EnvironmentKey, Identity
from pgstrata.secrets.sealed.seal import unwrap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgstrata.secrets.sealed.access import Access
    from pgstrata.secrets.sealed.document import Document

_MOUNTS = Path("/run/secrets")
KEYRING_USER = "pgstrata-key"
IDENTITY = "identity"


class Place(NamedTuple):
    """A place that was looked at, and the text that it holds, if any. ``personal`` ones hold the
    user's own identity. ``file`` is a file of the user's own, in which another key may be written.
    """

    words: str
    text: Secret | None
    personal: bool = False
    file: Path | None = None


class Found(NamedTuple):
    """A key that fits the document, or None with every place that was looked at.

    ``direct`` says that the environment's own key was there. It is a pin by itself: nobody else
    can have signed the file. A key from the file's recipients proves nothing of the kind.
    ``place`` is where the key was.
    """

    key: EnvironmentKey | None
    direct: bool
    places: tuple[str, ...]
    place: Place | None = None


def find(document: Document, access: Access) -> Found:
    """Find the key of a document. Raises ``SecretError`` for a key that is there and wrong."""
    looked: list[str] = []
    for place in _places(access):
        looked.append(place.words)
        if place.text is not None:
            keys = _keys(place.text, access)
            if place.personal and not _concerns(document, keys):
                looked[-1] += ": " + ", ".join(map(_describe, keys)) + ", no recipient"
                continue
            found = _fit(document, place.text, keys)
            return found._replace(places=tuple(looked), place=place)
    return Found(None, direct=False, places=tuple(looked))


def key_path(access: Access) -> Path:
    """Return the user's own key file for this project and environment. Raises ``SecretError`` for
    an account without a home folder.
    """
    return access.config_folder / "keys" / access.project.name / f"{access.environment}.key"


def identity_path(access: Access) -> Path:
    """Return the file of the user's own identity. Raises ``SecretError`` likewise."""
    return access.config_folder / "identity.key"


def no_key(document: Document, access: Access, places: tuple[str, ...]) -> SecretError:
    """Return the error for a key that is nowhere: names every place that was looked at."""
    listed = "".join(f"\n  {place}" for place in places)
    return SecretError(
        f"no key for {document.source}; looked at:{listed}",
        hint=f"put the key into {access.variable_name('KEY')}, or ask a recipient of the file to "
        "add you: `pgstrata secret recipient add`",
    )


def _places(access: Access) -> Iterator[Place]:
    if access.key_file is not None:
        _refuse_key_as_path(str(access.key_file), "the name of the key file")
        text = keyfile.read_own(access.key_file)
        yield Place(f"key file {access.key_file}", text, file=access.key_file)
    yield from _named(
        access,
        access.variable_name("KEY"),
        access.variable_name("KEY_FILE"),
        f"pgstrata-key-{access.environment}",
        key_path(access) if access.own_folder else None,
    )
    yield from _named(
        access,
        "PGSTRATA_IDENTITY",
        "PGSTRATA_IDENTITY_FILE",
        "pgstrata-identity",
        identity_path(access) if access.own_folder else None,
    )
    yield from _keyring(access)


def _named(
    access: Access, variable: str, file_variable: str, mounted: str, own: Path | None
) -> Iterator[Place]:
    yield Place(f"env {variable}", access.secret(variable))
    _refuse_key_as_path(access.variable(file_variable), f"env {file_variable}")
    yield _file(f"env {file_variable}", access.variable(file_variable), access)
    for folder in _mounts(access):
        path = folder / mounted
        yield Place(str(path), keyfile.read_mounted(path) if path.exists() else None)
    if own is None:
        yield Place("the user's own folder: this account has none; set HOME", None)
        return
    personal = variable == "PGSTRATA_IDENTITY"
    text = keyfile.read_own(own) if os.path.lexists(own) else None
    yield Place(str(own), text, personal, own)


def _refuse_key_as_path(path: str, source: str) -> None:
    """Refuse a mislaid key before the message of a file that is not found could quote it."""
    misplaced = keytext.PRIVATE.search(path) is not None
    del path  # a traceback with locals would show the key
    if misplaced:
        raise SecretError(
            f"{source} holds a key where the path of its file belongs",
            hint="put the key into a file that only you can read, and name that file",
        )


def _mounts(access: Access) -> list[Path]:
    given = access.variable("CREDENTIALS_DIRECTORY")
    return [Path(given), _MOUNTS] if given else [_MOUNTS]


def _file(words: str, named: str, access: Access) -> Place:
    if not named:
        return Place(words, None)
    path = Path(named)
    if any(folder in path.absolute().parents for folder in _mounts(access)):
        return Place(words, keyfile.read_mounted(path))
    return Place(words, keyfile.read_own(path), file=path)


def _keyring(access: Access) -> Iterator[Place]:
    service = keyring.service(access.project.name, access.environment)
    try:
        yield Place(f"OS keyring, {service}", keyring.find(service, KEYRING_USER))
        identity = keyring.find(keyring.SERVICE, IDENTITY)
        yield Place(f"OS keyring, {IDENTITY}", identity, personal=True)
    except SecretError as error:  # asked once only: one that hangs has used its deadline up
        yield Place(f"OS keyring: {error}", None)


def _keys(text: Secret, access: Access) -> list[EnvironmentKey | Identity]:
    passphrase = access.secret(keytext.PASSPHRASE_VARIABLE)
    return [keytext.read_private(single, passphrase) for single in split(text)]


def _concerns(document: Document, keys: list[EnvironmentKey | Identity]) -> bool:
    boxes = {member.box for member in document.recipients}
    return any(isinstance(key, EnvironmentKey) or key.public in boxes for key in keys)


def _fit(document: Document, text: Secret, keys: list[EnvironmentKey | Identity]) -> Found:
    """Return the one of the keys in ``text`` that fits; while rotating there may be several."""
    for key in keys:
        if isinstance(key, EnvironmentKey) and _is_for(document, key):
            return Found(key, direct=True, places=())
        if isinstance(key, Identity) and (opened := _through(document, key)):
            return Found(opened, direct=False, places=())
    raise _wrong(document, text, keys)


def split(text: Secret) -> list[Secret]:
    """Return the keys of a text: split at blanks and commas, without its ``#`` lines."""
    lines = [line for line in text.reveal().splitlines() if not line.lstrip().startswith("#")]
    words = " ".join(lines).replace(",", " ").split()
    return [Secret(word, source=text.source) for word in words]


def unrelated(document: Document, text: Secret, access: Access) -> list[Secret]:
    """Return the keys of a text that neither are the document's nor were: one file may hold those
    of several environments.
    """
    own = [document.key, *(link.key for link in document.rotated_from)]
    texts = zip(split(text), _keys(text, access), strict=True)
    return [single for single, key in texts if key.public not in own]


def _is_for(document: Document, key: EnvironmentKey) -> bool:
    return key.name == document.environment and key.public == document.key


def _through(document: Document, identity: Identity) -> EnvironmentKey | None:
    members = [member for member in document.recipients if member.box == identity.public]
    return next((key for member in members if (key := unwrap(document, member, identity))), None)


def _wrong(document: Document, text: Secret, keys: list[EnvironmentKey | Identity]) -> SecretError:
    names = ", ".join(_describe(key) for key in keys) or "nothing"
    members = ", ".join(member.name for member in document.recipients) or "nobody"
    return SecretError(
        f"the key in {text.source} does not open {document.source}: it holds {names}, and the "
        f"file is under key {document.key.id} of {document.environment}, sealed to {members}",
        hint="a wrong key is never passed over. It may be the only one of another project whose "
        "folder has the same name: then --key-file or PGSTRATA_KEY_FILE_… names this one's",
    )


def _describe(key: EnvironmentKey | Identity) -> str:
    if isinstance(key, EnvironmentKey):
        return f"key {key.public.id} of {key.name}"
    return f"the identity {key.name}"
