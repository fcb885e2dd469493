"""``pgstrata secret accept``."""

from __future__ import annotations

from pathlib import Path

import click

from pgstrata.cli import options
from pgstrata.cli.output import tell
from pgstrata.cli.sealed_file import key_file, require_storable, sealed_file


@click.command("accept")
@click.argument("keys", nargs=-1)
@options.environment
@click.option("--reject", is_flag=True, help="Drop the pending values instead.")
@key_file
@click.pass_obj
def command(
    session: options.Session,
    keys: tuple[str, ...],
    environment: str | None,
    key_file: Path | None,
    *,
    reject: bool,
) -> None:
    """Take over what people without the key have sealed.

    That is all of it, or what is for the settings KEYS.
    """
    from pgstrata.secrets.sealed import edit

    for key in keys:
        require_storable(key)
    file = sealed_file(session, environment, key_file)
    decide = edit.reject if reject else edit.accept
    for key in decide(file.path, file.access, keys or None):
        tell(f"{key} is {'dropped' if reject else 'accepted'}")
