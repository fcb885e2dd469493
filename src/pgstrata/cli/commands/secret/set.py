"""``pgstrata secret set``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from pgstrata.cli import options
from pgstrata.cli.output import tell
from pgstrata.cli.sealed_file import SealedFile, kept_in, key_file, require_storable, sealed_file
from pgstrata.cli.secret_input import Reader, SecretCommand, value_options
from pgstrata.errors import InvalidConfigError, UsageError
from pgstrata.model import Origin, Secret


@click.command("set", cls=SecretCommand)
@click.argument("key")
@options.environment
@value_options
@kept_in
@key_file
@click.pass_obj
def command(
    session: options.Session,
    key: str,
    environment: str | None,
    store: str,
    key_file: Path | None,
    reader: Reader,
) -> None:
    """Store a value for the setting KEY.

    It is asked for on the terminal, unless an option says where to read it. Without the private
    key it becomes pending, until somebody with the key runs `pgstrata secret accept`.
    """
    require_storable(key)
    file = sealed_file(session, environment, key_file)
    require_declared(session, file, key)
    tell(KEEPERS[store](file, key, reader.read(key)))


def require_declared(session: options.Session, file: SealedFile, key: str) -> None:
    """Raise ``UsageError`` for a setting of a connection that no file of the environment has: with
    a value for it, the environment could not be loaded.
    """
    from pgstrata.layers import stores
    from pgstrata.layers.files import Reader as Files
    from pgstrata.layers.folder import on_disk
    from pgstrata.layers.variables import Environ

    below, broken = Files(on_disk(session.folder), Environ(os.environ)).layers(file.environment)
    stored = stores.Stored(key, Secret(""), Origin("sealed", file.name))
    _, findings = stores.layer("sealed", file.name, [stored], below)
    if findings and broken:
        raise InvalidConfigError(broken)
    for finding in findings:
        raise UsageError(finding.message, hint=finding.hint)


def _seal(file: SealedFile, key: str, value: Secret) -> str:
    from pgstrata.secrets.sealed import edit

    if edit.set_entry(file.path, file.access, key, value) == "entries":
        return f"{key} is sealed in {file.name}"
    return (
        f"{key} is pending in {file.name}, because there is no key here; "
        f"somebody with the key accepts it: pgstrata secret accept -e {file.environment}"
    )


def _keep(file: SealedFile, key: str, value: Secret) -> str:
    from pgstrata.secrets import keyring

    keyring.set(file.access.project.name, file.environment, key, value)
    return (
        f"{key} is in the keyring of this user; it is looked up where secret_stores of "
        f"{file.environment} names keyring"
    )


KEEPERS = {"sealed": _seal, "keyring": _keep}
