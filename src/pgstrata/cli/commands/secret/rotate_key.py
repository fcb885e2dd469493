"""``pgstrata secret rotate-key``."""

from __future__ import annotations

from pathlib import Path

import click

from pgstrata.cli import options
from pgstrata.cli.new_key import keeper, new_key_file, tell_moved
from pgstrata.cli.output import tell
from pgstrata.cli.sealed_file import key_file, sealed_file
from pgstrata.cli.secret_input import SecretCommand


@click.command("rotate-key", cls=SecretCommand)
@options.environment
@key_file
@new_key_file
@click.pass_obj
def command(
    session: options.Session,
    environment: str | None,
    key_file: Path | None,
    new_key_file: Path | None,
) -> None:
    """Give the environment a new key, and seal everything again."""
    from pgstrata.secrets.sealed import rotate

    file = sealed_file(session, environment, key_file)
    keep, words = keeper(file, new_key_file)
    rotated = rotate.rotate_key(file.path, file.access, keep=keep)
    tell(f"{file.name} is under key {rotated.key.public.id} now")
    tell_moved(file, rotated.key, words)
