"""``pgstrata exec``."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from pgstrata.cli import options
from pgstrata.cli.output import tell
from pgstrata.errors import InvalidConfigError, UsageError


@click.command("exec", context_settings={"allow_interspersed_args": False})
@options.environment
@options.connection
@click.option("--pristine", is_flag=True, help="Pass on none of this shell's other variables.")
@click.option(
    "--only",
    "only",
    metavar="NAMES",
    multiple=True,
    help="Set no other variables than these, e.g. PGHOST,PGPORT.",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def command(
    session: options.Session,
    environment: str | None,
    connection: str | None,
    only: tuple[str, ...],
    command: tuple[str, ...],
    *,
    pristine: bool,
) -> int:
    """Run a program with the PG* variables of an environment.

    COMMAND is the program and its arguments, best after a double dash. psql, pg_dump and
    everything else that uses libpq connect with no further arguments. The password is in a file
    that only this user can read and that is gone when the program ends. The exit code is the
    program's own.
    """
    from pgstrata.cli.choose import connection_of
    from pgstrata.cli.launch import launch
    from pgstrata.loading import load
    from pgstrata.render.process import inherited, surroundings
    from pgstrata.validation import file_problems

    kept = inherited(os.environ, pristine=pristine)
    # Then nothing but the project and its secrets decides: not what libpq would find in here.
    environ = inherited(os.environ, pristine=False) if pristine else os.environ
    config = load(environment, project=session.project, environ=environ)
    name = connection_of(config, connection)
    if findings := file_problems(config.connection(name), config.project):
        raise InvalidConfigError(findings)
    made = surroundings(config, name)
    for problem in made.left_out:
        tell(f"not passed on: {problem}")
    # A program that uses pgstrata too should mean the same environment.
    own = {"PGSTRATA_ENV": config.environment, "PGSTRATA_PROJECT": str(config.project)}
    own = {"PGSTRATA_ENV": config.environment, "PGSTRATA_PROJECT": str(config.project)}
    variables, files = {**made.variables, **own}, made.files
    if only:
        wanted = _wanted(only, [*variables, *files])
        variables = {key: text for key, text in variables.items() if key in wanted}
        files = {key: text for key, text in files.items() if key in wanted}
    return launch(command, {**kept, **variables}, files)


def _wanted(only: Sequence[str], there: Sequence[str]) -> set[str]:
    """Return the names of ``--only``. Raises ``UsageError`` for one that is not there."""
    names = {name.strip() for text in only for name in text.split(",")}
    if unknown := sorted(names - {*there}):
        raise UsageError(
            f"--only: this environment sets no {', '.join(unknown)}",
            hint=f"it sets {', '.join(there)}",
        )
    return names
