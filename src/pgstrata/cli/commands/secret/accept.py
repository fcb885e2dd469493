"""``pgstrata secret accept``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

import click

from pgstrata.cli import options
from pgstrata.cli.output import tell
from pgstrata.cli.sealed_file import SealedFile, kept_in, key_file, require_storable, sealed_file
from pgstrata.cli.secret_input import SecretCommand
from pgstrata.errors import SecretError, UsageError

Keys: TypeAlias = tuple[str, ...]


@click.command("accept", cls=SecretCommand)
@click.argument("keys", nargs=-1)
@options.environment
@click.option("--reject", is_flag=True, help="Drop the pending values instead.")
@kept_in
@key_file
@click.pass_obj
def command(
    session: options.Session,
    keys: Keys,
    environment: str | None,
    store: str,
    key_file: Path | None,
    *,
    reject: bool,
) -> None:
    """Take over what people without the key have sealed.

    That is all of it, or what is for the settings KEYS. It also ends a rotation that was cut off:
    the new value is taken over, or dropped, as the server says.
    """
    for key in keys:
        require_storable(key)
    file = sealed_file(session, environment, key_file)
    for key in PENDING[store](file, keys, reject):
        tell(f"{key} is {'dropped' if reject else 'accepted'}")


def _sealed(file: SealedFile, keys: Keys, reject: bool) -> Iterable[str]:  # noqa: FBT001  # one of the functions in PENDING
    from pgstrata.secrets.sealed import edit

    decide = edit.reject if reject else edit.accept
    return decide(file.path, file.access, keys or None)


def _keyring(file: SealedFile, keys: Keys, reject: bool) -> Iterable[str]:  # noqa: FBT001  # as above
    from pgstrata.secrets import keyring

    if not keys:
        raise UsageError("a keyring cannot be listed", hint="name the settings to be accepted")
    for key in keys:
        where = file.access.project.name, file.environment, key
        if not keyring.is_staged(*where):
            raise SecretError(f"no value of {key} is pending in the keyring")
        (keyring.reject if reject else keyring.accept)(*where)
        yield key


PENDING: Mapping[str, Callable[[SealedFile, Keys, bool], Iterable[str]]] = {
    "sealed": _sealed,
    "keyring": _keyring,
}
