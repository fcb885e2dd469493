"""``pgstrata secret remove``."""

from __future__ import annotations

from pathlib import Path

import click

from pgstrata.cli import options
from pgstrata.cli.output import tell
from pgstrata.cli.sealed_file import kept_in, key_file, require_storable, sealed_file
from pgstrata.cli.secret_input import SecretCommand


@click.command("remove", cls=SecretCommand)
@click.argument("key")
@options.environment
@kept_in
@key_file
@click.pass_obj
def command(
    session: options.Session,
    key: str,
    environment: str | None,
    store: str,
    key_file: Path | None,
) -> None:
    """Remove the value of the setting KEY from its store."""
    from pgstrata.secrets import keyring
    from pgstrata.secrets.sealed import edit

    require_storable(key)
    file = sealed_file(session, environment, key_file)
    if store == "keyring":
        keyring.delete(file.access.project.name, file.environment, key)
    else:
        edit.remove_entry(file.path, file.access, key)
    tell(f"{key} is removed; version control still has it, so change it where it was used")
