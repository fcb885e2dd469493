"""``pgstrata secret merge``."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import click

from pgstrata.cli import options
from pgstrata.cli.output import tell
from pgstrata.cli.sealed_file import sealed_file
from pgstrata.cli.secret_input import SecretCommand
from pgstrata.errors import UsageError

ATTRIBUTES = "environments/*.sealed.yaml merge=pgstrata"
DRIVER = "pgstrata secret merge %O %A %B %P"


@click.command("merge", cls=SecretCommand)
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--install", is_flag=True, help="Make git use this command in this clone.")
@click.pass_obj
def command(session: options.Session, files: tuple[Path, ...], *, install: bool) -> None:
    """Merge sealed FILES, as git's merge driver.

    The four FILES are what git hands over as %O %A %B %P. With --install, git does so from now on.
    Each clone needs that once, because git takes no commands to run from a repository.
    """
    from pgstrata.secrets.sealed import merge

    if install and not files:
        _install(session.folder)
        return
    if len(files) != 4:  # noqa: PLR2004  # as in the usage
        raise UsageError("git gives four files", hint=f"merge.pgstrata.driver is {DRIVER!r}")
    base, ours, theirs, name = files
    match = re.fullmatch(r"(.+)\.sealed\.yaml", name.name)
    if match is None:
        raise UsageError(f"{name} is no sealed file", hint=f".gitattributes has {ATTRIBUTES}")
    # git runs a driver at the top of the repository, below which the project may be
    project = session if session.project else options.Session(name.absolute().parents[1])
    merge.merge_files(base, ours, theirs, sealed_file(project, match[1]).access)


def _install(folder: Path) -> None:
    settings = {"name": "pgstrata sealed files", "driver": DRIVER}
    for name, value in settings.items():
        command = ["git", "config", f"merge.pgstrata.{name}", value]
        try:
            done = subprocess.run(  # noqa: S603  # git itself, and no shell
                command, cwd=folder, check=False, capture_output=True
            )
        except OSError:
            raise UsageError("git is not installed") from None
        if done.returncode:
            raise UsageError(
                f"{shlex.join(command)} failed", hint="the project is in no git repository yet"
            )
    write_attributes(folder)
    tell("git merges sealed files with pgstrata in this clone; each other clone needs it once too")


def write_attributes(folder: Path) -> bool:
    """Add the line to .gitattributes that names the driver; tell whether it was missing."""
    path = folder / ".gitattributes"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    if ATTRIBUTES in lines:
        return False
    path.write_text("\n".join([*lines, ATTRIBUTES]) + "\n", encoding="utf-8")
    return True
