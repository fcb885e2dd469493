"""``pgstrata init``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from pgstrata.cli import options
from pgstrata.cli.failure import tell
from pgstrata.errors import UsageError

IGNORED = ("environments/*.local.yaml", ".env")


@click.command("init")
@click.option(
    "--single",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write one file that is a whole configuration, instead of a folder.",
)
@click.option("--force", is_flag=True, help="Overwrite files that exist.")
@click.pass_obj
def command(session: options.Session, single: Path | None, *, force: bool) -> None:
    """Write the environments of a new project."""
    from pgstrata.layers.project import FOLDER
    from pgstrata.schema.template import project_files, single_file

    if single is not None:
        _write({single: single_file()}, force=force)
        return
    folder = session.folder / FOLDER
    _write({folder / name: text for name, text in project_files().items()}, force=force)
    _ignore(session.folder / ".gitignore")
    tell("next: pgstrata check --all, then pgstrata test -e development")


def _write(files: dict[Path, str], *, force: bool) -> None:
    """Write all files or, where one exists already, none of them."""
    there = [str(path) for path in files if path.exists()]
    if there and not force:
        raise UsageError(f"already there: {', '.join(there)}", hint="--force overwrites")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        # Somebody will write a password into one of them, so none is readable by others.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        click.echo(path)


def _ignore(path: Path) -> None:
    """Keep git from what belongs to one machine."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    missing = [line for line in IGNORED if line not in lines]
    if missing:
        path.write_text("\n".join([*lines, *missing]) + "\n", encoding="utf-8")
        click.echo(path)
