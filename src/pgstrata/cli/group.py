"""The group of all commands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

import click

from pgstrata._version import __version__
from pgstrata.cli.collecting import collect_no_more, collect_seldom
from pgstrata.cli.failure import exit_code_of
from pgstrata.cli.lazy import LazyGroup
from pgstrata.cli.memory import keep_memory_private
from pgstrata.cli.options import Session
from pgstrata.cli.output import accept_all_characters

# One module of this package for each command, in the order of the help.
COMMANDS = {
    "environments": (
        *("init", "envs", "show", "explain", "diff", "check", "impact"),
        *("promote", "render", "exec", "schema"),
    ),
    "secrets": ("secret",),
    "servers": ("test", "recommend", "audit", "top"),
    "data": ("import", "export", "copy"),
    "code": ("code",),
    "local server": ("local",),
    "help": ("doctor", "completion"),
    "names of pgmonkey": ("pgconfig", "pgserverconfig", "pgimport", "pgexport"),
}
ALIASES = dict.fromkeys(COMMANDS["names of pgmonkey"], "pgstrata.cli.pgmonkey")


@click.group(
    cls=LazyGroup,
    package="pgstrata.cli.commands",
    sections=COMMANDS,
    homes=ALIASES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "-C",
    "--project",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder that holds environments/ [PGSTRATA_PROJECT, or the current one].",
)
@click.option("-v", "--verbose", is_flag=True, help="Show the traceback of a failure.")
@click.version_option(__version__, prog_name="pgstrata", help="Show the version and exit.")
@click.pass_context
def commands(context: click.Context, project: Path | None, *, verbose: bool) -> None:
    """Layered YAML environments for every PostgreSQL connection of a project."""
    context.obj = Session(project, verbose)


def main() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    collect_seldom()
    accept_all_characters()
    keep_memory_private()
    code = run(sys.argv[1:])
    collect_no_more()
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code. A failure is told on stderr, never raised.

    ``SystemExit`` is: click ends the process where the reader of its output has gone.
    """
    verbose = any(argument in ("-v", "--verbose") for argument in arguments)
    try:
        code = commands.main(arguments, prog_name="pgstrata", standalone_mode=False)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # no command may end with a traceback
        return exit_code_of(error, verbose=verbose)
    return code if isinstance(code, int) else 0
