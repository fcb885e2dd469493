"""``pgstrata secret import``."""

from __future__ import annotations

from pathlib import Path

import click

from pgstrata.cli import options
from pgstrata.cli.commands.secret.set import KEEPERS, require_declared
from pgstrata.cli.foreign import FORMATS
from pgstrata.cli.output import tell
from pgstrata.cli.sealed_file import kept_in, key_file, require_storable, sealed_file
from pgstrata.cli.secret_input import SecretCommand, usable
from pgstrata.errors import SecretError, UsageError


@click.command("import", cls=SecretCommand)
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--from", "kind", type=click.Choice(tuple(FORMATS)), required=True, help="What PATH is."
)
@click.option(
    "--as",
    "renames",
    metavar="NAME=KEY",
    multiple=True,
    help="Store what PATH calls NAME as the setting KEY; may be repeated.",
)
@options.environment
@kept_in
@key_file
@click.pass_obj
def command(
    session: options.Session,
    path: Path,
    kind: str,
    renames: tuple[str, ...],
    environment: str | None,
    store: str,
    key_file: Path | None,
) -> None:
    """Store the secrets of the file PATH, which is another program's.

    That is a .env, a .pgpass, a file of sops, or a plain YAML file of an environment.
    """
    from pgstrata.layers.stores import problem
    from pgstrata.loading import load
    from pgstrata.secrets.redact import is_secret_key

    file = sealed_file(session, environment, key_file)
    config = load(file.environment, project=session.project) if kind == "pgpass" else None
    found = FORMATS[kind](path, config)
    for rename in renames:
        name, _, key = rename.partition("=")
        require_storable(key)
        if name not in found:
            raise UsageError(
                f"{path} has no {name}", hint=f"it has {', '.join(found) or 'nothing'}"
            )
        found[key] = found.pop(name)
    stored = {key: value for key, value in found.items() if not problem(key)}
    if not stored:
        raise SecretError(
            f"{path} holds nothing that is known to be a secret setting",
            hint="say what is one: --as NAME=connection_settings.password",
        )
    for key, value in stored.items():
        require_declared(session, file, key)
        usable(value, f"{key} in {path}")
    for key, value in stored.items():
        tell(KEEPERS[store](file, key, value))
    for name in found.keys() - stored.keys():
        if is_secret_key(name.rpartition(".")[2]):
            tell(f"{name} is left in {path}: if it is the value of a setting, --as {name}=KEY")
    tell(f"now remove {', '.join(stored)} from {path}, and from version control if it was there")
