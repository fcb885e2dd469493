"""``pgstrata secret rotate``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pgstrata.cli import options
from pgstrata.cli.commands.secret.set import KEEPERS
from pgstrata.cli.output import tell
from pgstrata.cli.sealed_file import SealedFile, key_file, require_storable, sealed_file
from pgstrata.cli.secret_input import Reader, SecretCommand, value_options
from pgstrata.errors import SecretError, UsageError
from pgstrata.layers.stores import PASSWORD
from pgstrata.model import Config, Origin, Secret, Setting

if TYPE_CHECKING:
    from pgstrata.connect.rotation import Staging


@click.command("rotate", cls=SecretCommand)
@click.argument("key")
@options.environment
@value_options
@click.option("--apply", is_flag=True, help="Change the role's password on the server too.")
@key_file
@click.pass_obj
def command(
    session: options.Session,
    key: str,
    environment: str | None,
    key_file: Path | None,
    reader: Reader,
    *,
    apply: bool,
) -> None:
    """Replace the value of the setting KEY in its store by a random one.

    Options give another new value. With --apply the role's password is changed on the server as
    well, in a way that ends with the old one in both places or the new one in both.
    """
    from pgstrata.loading import load

    require_storable(key)
    sealed = sealed_file(session, environment, key_file)
    config = load(sealed.environment, project=session.project)
    origin = _origin(config, key, sealed)
    store = STAGINGS[origin.layer]
    unsaid = not any(reader)
    value = reader._replace(generate=True).read(key) if unsaid else reader.read(key)
    if not apply:
        tell(KEEPERS[origin.layer](sealed, key, value))
        return
    if not key.endswith(PASSWORD):
        raise UsageError(f"--apply changes a password on the server, and {key} is none")
    from pgstrata.connect import rotation

    users = [name for name in config.connections if _uses(config, name, origin, sealed)]
    if not users:
        raise SecretError(f"no connection of {config.environment} logs in with {key}")
    own = key.split(".")[1] if key != PASSWORD else "default"
    connection = own if own in users else users[0]
    rotation.require_alone(config, connection, users)
    rotation.rotate(config, connection, value, store(sealed, key))
    tell(f"{key} is changed, on the server and in its store; new connections use it from now on")


def _origin(config: Config, key: str, file: SealedFile) -> Origin:
    """Return the place in a store that a value comes from. Raises ``SecretError`` for any other
    layer, and for what a connection inherits.
    """
    origin = _place(config.settings.get(key), file)
    if origin is None or origin.layer not in STAGINGS:
        raise SecretError(
            f"{key} of {config.environment} comes from {origin or 'nowhere'}, "
            "and only a value in a store can be rotated here",
            hint=f"change it there, or: pgstrata secret set {key} -e {config.environment}",
        )
    shared = ".".join(key.split(".")[-2:])
    if key != shared and origin == _place(config.settings.get(shared), file):
        raise SecretError(
            f"{key} has no value of its own: it is that of {shared}",
            hint=f"pgstrata secret rotate {shared} -e {config.environment} changes it for all "
            "connections that inherit it",
        )
    return origin


def _place(setting: Setting | None, file: SealedFile) -> Origin | None:
    """Return where the value of a setting really is: a keyring that holds none is passed over."""
    from pgstrata.secrets import keyring

    project, environment = file.access.project.name, file.environment
    for given in setting.stack if setting else ():
        origin = given.origin
        if origin.layer != "keyring" or keyring.has(project, environment, origin.source):
            return origin
    return None


def _uses(config: Config, connection: str, origin: Origin, file: SealedFile) -> bool:
    return _place(config.connection(connection).get(PASSWORD), file) == origin


def _sealed(file: SealedFile, key: str) -> Staging:
    from pgstrata.connect.rotation import Staging
    from pgstrata.secrets.sealed import edit

    where = file.path, file.access

    def stage(value: Secret) -> None:
        _require_free(file, key)
        edit.set_entry(*where, key, value, pending=True)

    return Staging(
        stage,
        lambda: edit.accept(*where, [key]),
        lambda: edit.reject(*where, [key]),
        f"pending in {file.name}: pgstrata secret accept [--reject] {key} -e {file.environment}",
    )


def _require_free(file: SealedFile, key: str) -> None:
    """Demand the key, without which nothing could be taken over, and that nothing is pending: it
    may be what an earlier rotation that was cut off has given to the server.
    """
    from pgstrata.secrets.sealed.opened import open_trusted

    opened = open_trusted(file.path, file.access)
    opened.require_key(file.access)
    if any(entry.at == key for entry in opened.document.pending):
        raise SecretError(
            f"a value of {key} is pending in {file.name}",
            hint=f"pgstrata secret accept {key} -e {file.environment}, with --reject to drop it",
        )


def _keyring(file: SealedFile, key: str) -> Staging:
    from pgstrata.connect.rotation import Staging
    from pgstrata.secrets import keyring

    where = file.access.project.name, file.environment, key
    words = f"pgstrata secret accept [--reject] {key} --store keyring -e {file.environment}"

    def stage(value: Secret) -> None:
        if keyring.is_staged(*where):
            raise SecretError(f"a value of {key} is pending in the keyring", hint=words)
        keyring.stage(*where, value)

    return Staging(
        stage,
        lambda: keyring.accept(*where),
        lambda: keyring.reject(*where),
        f"pending in the keyring: {words}",
    )


STAGINGS: Mapping[str, Callable[[SealedFile, str], Staging]] = {
    "sealed": _sealed,
    "keyring": _keyring,
}
