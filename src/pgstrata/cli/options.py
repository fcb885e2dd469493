"""Options that several commands share, and the session that the group hands to each command."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pgstrata.errors import PgstrataError, UsageError
from pgstrata.layers.project import environment_name, project_folder
from pgstrata.layers.project import environments as environments_of

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Session:
    """What was said before the command: the project folder, and whether to be verbose."""

    project: Path | None
    verbose: bool = False

    @property
    def folder(self) -> Path:
        """The project folder that is meant."""
        return project_folder(self.project, os.environ)

    def environments(self, names: tuple[str, ...], *, everything: bool) -> tuple[str, ...]:
        """Return the environments that are meant: the named ones, all, or the one by default."""
        if names and everything:
            raise UsageError("--env and --all exclude each other")
        if everything:
            return environments_of(self.folder)
        return tuple(dict.fromkeys(names)) or (environment_name(None, os.environ),)


def environment(command: Command) -> Command:
    """Add ``-e``: one environment."""
    return click.option(
        "-e",
        "--env",
        "environment",
        metavar="NAME",
        callback=not_empty,
        shell_complete=complete_environment,
        help="The environment [PGSTRATA_ENV, or development].",
    )(command)


def environments(command: Command) -> Command:
    """Add ``-e``, which may be repeated, and ``--all``."""
    command = click.option("--all", "everything", is_flag=True, help="All environments.")(command)
    return click.option(
        "-e",
        "--env",
        "names",
        metavar="NAME",
        multiple=True,
        callback=not_empty,
        shell_complete=complete_environment,
        help="An environment; may be repeated [PGSTRATA_ENV, or development].",
    )(command)


def connection(command: Command) -> Command:
    """Add ``--connection``: one of an environment's named connections."""
    return click.option(
        "--connection",
        metavar="NAME",
        callback=not_empty,
        help="A named connection [the top-level one].",
    )(command)


def following(command: Command) -> Command:
    """Add what makes a single file's references be followed."""
    command = click.option(
        "--allow-sensitive-defaults",
        is_flag=True,
        help="Take ${NAME:-fallback} for secrets too; goes with --resolve-env.",
    )(command)
    return click.option(
        "--resolve-env",
        is_flag=True,
        help="Follow ${NAME}, from_env and from_file in a single file.",
    )(command)


def output(*formats: str) -> Callable[[Command], Command]:
    """Add ``--format``; the first of ``formats`` is the default."""
    return click.option(
        "--format",
        "output",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        help="How the result is written.",
    )


def not_empty(
    _context: click.Context, parameter: click.Parameter, value: str | tuple[str, ...] | None
) -> str | tuple[str, ...] | None:
    """Refuse an empty name: in ``-e "$NAME"`` with an unset variable, it must not mean another."""
    if value == "" or (isinstance(value, tuple) and "" in value):
        raise UsageError(f"{parameter.opts[-1]} is given an empty name")
    return value


def complete_environment(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the environments whose name begins with ``incomplete``."""
    from click.shell_completion import CompletionItem

    said = context.find_root().params.get("project")
    try:
        names = environments_of(project_folder(said, os.environ))
    except PgstrataError:
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
