"""Where the new key of an environment goes: where the old one was, and never over another key."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pgstrata.cli.output import tell
from pgstrata.cli.sealed_file import SealedFile
from pgstrata.errors import UsageError
from pgstrata.model import Secret

if TYPE_CHECKING:
    from pgstrata.secrets.sealed.document import Document
    from pgstrata.secrets.sealed.keys import EnvironmentKey
    from pgstrata.secrets.sealed.lookup import Place

Command = TypeVar("Command", bound=Callable[..., Any])
Keep = Callable[[Secret], None]


def new_key_file(command: Command) -> Command:
    """Add ``--new-key-file``."""
    return click.option(
        "--new-key-file",
        type=click.Path(path_type=Path),
        metavar="PATH",
        help="A new file for the new private key [where the old one is].",
    )(command)


def keeper(file: SealedFile, new: Path | None) -> tuple[Keep | None, str]:
    """Return what keeps the new key, and that place in words.

    There is none where the key was taken from a recipient's box, because the new one will be in
    that box too. Raises ``UsageError`` where nothing can be written in the old key's place.
    """
    from pgstrata.secrets.sealed import lookup, parse

    document = parse.read(file.path, file.environment)
    found = lookup.find(document, file.access)
    place = found.place if found.direct else None
    if new is not None and os.path.lexists(new):
        raise UsageError(
            f"{new} is there already", hint="a key is never overwritten: name a new file"
        )
    if place is None:
        return (_in_file(new), str(new)) if new else (None, "")
    keep, words = _where(file, place, new)
    return _with_neighbours(keep, document, place, file), words


def _where(file: SealedFile, place: Place, new: Path | None) -> tuple[Keep, str]:
    from pgstrata.secrets import keyring
    from pgstrata.secrets.sealed.lookup import KEYRING_USER

    if new is not None:
        return _in_file(new), f"{new}; it takes the place of the old one in {place.words}"
    if place.file is not None:
        return _in_file(place.file), str(place.file)
    if place.words.startswith("OS keyring"):
        service = keyring.service(file.access.project.name, file.environment)
        return lambda text: keyring.store(service, KEYRING_USER, text), f"keyring {service}"
    raise UsageError(
        f"the key is in {place.words}, where no new one can be written",
        hint="--new-key-file PATH says where the new one goes, to be put in its place by you",
    )


def _in_file(path: Path) -> Keep:
    from pgstrata.secrets.sealed import keyfile

    return lambda text: keyfile.save(path, text)


def _with_neighbours(keep: Keep, document: Document, place: Place, file: SealedFile) -> Keep:
    """Keep the other keys of the same place too, and the passphrase, where the old key has one."""
    from pgstrata.secrets.sealed import keytext, lookup

    assert place.text is not None
    passphrase = file.access.secret(keytext.PASSPHRASE_VARIABLE)
    locked = any(keytext.is_locked(single) for single in lookup.split(place.text))
    others = lookup.unrelated(document, place.text, file.access)

    def keep_all(text: Secret) -> None:
        keys = [keytext.read_private(single) for single in lookup.split(text)]
        texts = [keytext.private_text(key, passphrase if locked else None) for key in keys]
        every = (*texts, *others)
        keep(Secret(lambda: "\n".join(one.reveal() for one in every), source=text.source))

    return keep_all


def tell_moved(file: SealedFile, key: EnvironmentKey, words: str) -> None:
    """Say where the new private key is, and where the id of the old one may be written."""
    if words:
        tell(f"the new private key is in {words}")
    variable = file.access.variable_name("KEY_ID")
    tell(
        f"change {variable} in CI, and wherever else it is set, to {key.public.id}: "
        "what still names the old key also trusts whoever had that one"
    )
