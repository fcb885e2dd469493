"""``pgstrata init``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import click

from pgstrata.cli import options
from pgstrata.cli.output import tell
from pgstrata.errors import UsageError
from pgstrata.schema.keys import SECRET_STORES

IGNORED = ("environments/*.local.yaml", ".env")


@click.command("init")
@click.option(
    "--single",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write one file that is a whole configuration, instead of a folder.",
)
@click.option("--force", is_flag=True, help="Overwrite files that exist.")
@click.option(
    "--from",
    "given",
    metavar="[NAME=]FILE",
    multiple=True,
    help="Make the environments of what is in FILE; may be repeated.",
)
@click.option(
    "--store", type=click.Choice(SECRET_STORES), help="Where the secrets of --from go [asked for]."
)
@options.following
@click.pass_obj
def command(
    session: options.Session,
    single: Path | None,
    given: tuple[str, ...],
    store: str | None,
    *,
    force: bool,
    resolve_env: bool,
    allow_sensitive_defaults: bool,
) -> None:
    """Write the environments of a new project.

    It writes environments/ with a file for all and one each for development, staging and
    production, and their schema for editors, adds to .gitignore what belongs to one machine, and
    to .gitattributes how sealed files are merged.

    With --from the environments are those of FILE: a YAML file of pgmonkey, a pg_service.conf, a
    .env, Django's settings, an alembic.ini, or the name of a variable with a URL. What they share
    goes to base.yaml, secrets into a store, and nothing is written unless the settings stay what
    they were.
    """
    from pgstrata.schema.template import project_files, single_file

    if given:
        if single is not None or force:
            raise UsageError("--from goes with neither --single nor --force")
        from pgstrata.cli.adopt import adopt

        adopt(
            session,
            given,
            store,
            lambda planned: _write_project(session.folder, planned.texts),
            resolve_env=resolve_env,
            allow_sensitive_defaults=allow_sensitive_defaults,
        )
        return
    if store or resolve_env or allow_sensitive_defaults:
        raise UsageError("--store, --resolve-env and --allow-sensitive-defaults go with --from")
    if single is not None:
        write_files({single: single_file()}, force=force)
        return
    _write_project(session.folder, project_files(), force=force)
    tell("next: pgstrata check --all, then pgstrata test -e development")


def _write_project(project: Path, files: Mapping[str, str], *, force: bool = False) -> None:
    from pgstrata.cli.commands.secret.merge import write_attributes
    from pgstrata.layers.project import FOLDER
    from pgstrata.schema import json_schema
    from pgstrata.schema.template import SCHEMA

    texts = {**files, SCHEMA: json_schema.text(json_schema.overlay())}
    write_files({project / FOLDER / name: text for name, text in texts.items()}, force=force)
    _ignore(project / ".gitignore")
    if write_attributes(project):
        click.echo(_shown(project / ".gitattributes"))


def write_files(files: dict[Path, str], *, force: bool) -> None:
    """Write all files or, where one exists already, none of them."""
    there = [_shown(path) for path in files if os.path.lexists(path)]
    if there and not force:
        raise UsageError(f"already there: {', '.join(there)}", hint="--force overwrites")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, text)
        click.echo(_shown(path))


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all, readable only by its owner.

    Somebody will write a password into it. ``mkstemp`` makes files with mode 0600.
    """
    import tempfile

    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    new = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _ignore(path: Path) -> None:
    """Keep git from what belongs to one machine."""
    content = path.read_bytes() if path.exists() else b""
    missing = [line for line in IGNORED if line.encode() not in content.split()]
    if missing:
        start = "\n" if content and not content.endswith(b"\n") else ""
        with path.open("ab") as file:
            file.write((start + "".join(f"{line}\n" for line in missing)).encode())
        click.echo(_shown(path))


def _shown(path: Path) -> str:
    """Return a path as short as it can be written from here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
