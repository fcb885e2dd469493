"""``pgstrata secret recipient``."""

from __future__ import annotations

from pathlib import Path

import click

from pgstrata.cli import options
from pgstrata.cli.new_key import keeper, new_key_file, tell_moved
from pgstrata.cli.output import print_json, tell
from pgstrata.cli.sealed_file import key_file, sealed_file
from pgstrata.cli.secret_input import SecretCommand


@click.group("recipient")
def command() -> None:
    """Who can open an environment's sealed file: members, CI, a recovery key."""


@command.command(cls=SecretCommand)
@click.argument("public_key")
@options.environment
@key_file
@click.pass_obj
def add(
    session: options.Session, public_key: str, environment: str | None, key_file: Path | None
) -> None:
    """Let the owner of PUBLIC_KEY (PGSTRATApk1_...) open the file."""
    from pgstrata.secrets.sealed import edit, keytext

    name, box = keytext.read_public(public_key)
    file = sealed_file(session, environment, key_file)
    edit.add_recipient(file.path, file.access, name, box)
    tell(f"{name} can open {file.name} now")


@command.command(cls=SecretCommand)
@click.argument("name")
@options.environment
@key_file
@new_key_file
@click.pass_obj
def remove(
    session: options.Session,
    name: str,
    environment: str | None,
    key_file: Path | None,
    new_key_file: Path | None,
) -> None:
    """Take the member NAME out, which makes a new key, and list what they knew."""
    from pgstrata.secrets.sealed import rotate

    file = sealed_file(session, environment, key_file)
    keep, words = keeper(file, new_key_file)
    rotated = rotate.remove_recipient(file.path, file.access, name, keep=keep)
    tell(f"{file.name} is under a new key, {rotated.key.public.id}, without {name}")
    tell_moved(file, rotated.key, words)
    tell(f"{name} still knows these; change each: pgstrata secret rotate KEY --apply")
    for key in rotated.exposed:
        click.echo(key)


@command.command("list", cls=SecretCommand)
@options.environment
@options.output("text", "json")
@click.pass_obj
def list_(session: options.Session, environment: str | None, output: str) -> None:
    """List who can open the file."""
    from pgstrata.render.columns import columns
    from pgstrata.secrets.sealed import parse

    file = sealed_file(session, environment)
    members = parse.read(file.path, file.environment).recipients
    if output == "json":
        shown = [{"name": member.name, "public_key": member.box} for member in members]
        print_json(environment=file.environment, recipients=shown)
        return
    rows = [(member.name, member.box) for member in members]
    click.echo(columns(rows, header=("NAME", "PUBLIC KEY")))
