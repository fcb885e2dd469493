"""The group of all commands.

Output follows four rules. The result goes to stdout, everything else to stderr. Talk begins with
``pgstrata:``, is in lower case and has no full stop. A hint stands on a line of its own. The exit
code is one of ``errors.EXIT_CODES``.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import click

from pgstrata._version import __version__
from pgstrata.cli.failure import exit_code_of
from pgstrata.cli.options import Session

# One module of this package for each command, in the order of the help.
COMMANDS = {
    "environments": ("init", "envs", "show", "explain", "check"),
    "servers": ("test",),
    "local server": ("local",),
    "help": ("doctor", "completion"),
}


class Commands(click.Group):
    """Imports a command when it is called for, so that none pays for what another one needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Return the names of all commands."""
        return [name for names in COMMANDS.values() for name in names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, or None for an unknown one."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command = import_module(f"pgstrata.cli.commands.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one was most likely meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from pgstrata.schema.suggest import closest

            guess = closest(args[0], self.list_commands(ctx))
            if guess is None:
                raise
            message = f"{error.message} Did you mean {guess!r}?"
            raise click.UsageError(message, ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by what they are about."""
        for title, names in COMMANDS.items():
            found = {name: self.get_command(ctx, name) for name in names}
            with formatter.section(title.capitalize()):
                formatter.write_dl(
                    [
                        (name, found_.get_short_help_str(90))
                        for name, found_ in found.items()
                        if found_
                    ]
                )


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-C",
    "--project",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder that holds environments/ [PGSTRATA_PROJECT, or the current one].",
)
@click.option("-v", "--verbose", is_flag=True, help="Show the traceback of a failure.")
@click.version_option(__version__, prog_name="pgstrata")
@click.pass_context
def commands(context: click.Context, project: Path | None, *, verbose: bool) -> None:
    """Layered YAML environments for every PostgreSQL connection of a project."""
    context.obj = Session(project, verbose)


def main() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code. A failure is told on stderr, never raised."""
    verbose = any(argument in ("-v", "--verbose") for argument in arguments)
    try:
        code = commands.main(arguments, prog_name="pgstrata", standalone_mode=False)
    except Exception as error:  # noqa: BLE001  # no command may end with a traceback
        return exit_code_of(error, verbose=verbose)
    return code if isinstance(code, int) else 0
