"""``pgstrata diff``."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Collection
from typing import TYPE_CHECKING

import click

from pgstrata.cli import options
from pgstrata.cli.output import has_colour, print_json, tell
from pgstrata.errors import FINDINGS, OK, EnvironmentNotFoundError, UsageError

if TYPE_CHECKING:
    from pgstrata.diff import Comparison, Status
    from pgstrata.model import Config

STATUSES: tuple[Status, ...] = ("changed", "missing", "unknown", "same")
LEAST = 2


@click.command("diff")
@click.argument(
    "env", nargs=-1, metavar="ENV[@GITREF]...", shell_complete=options.complete_environment
)
@click.option("--all", "everything", is_flag=True, help="All environments.")
@click.option(
    "--connection",
    metavar="NAME",
    callback=options.not_empty,
    help="Only this connection; default is the top-level one [all].",
)
@click.option(
    "--only",
    metavar="STATUS,...",
    callback=lambda _context, _parameter, value: _statuses(value),
    help="Which keys: changed, missing, unknown, same [all but same].",
)
@click.option("--full", is_flag=True, help="Also what is the same, and expected differences.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 if a difference is shown.")
@options.output("text", "json", "markdown", "html")
@click.pass_obj
def command(  # noqa: PLR0913  # one for each option
    session: options.Session,
    env: tuple[str, ...],
    connection: str | None,
    only: Collection[Status] | None,
    output: str,
    *,
    everything: bool,
    full: bool,
    exit_code: bool,
) -> int:
    """Show what differs between environments, side by side.

    ENV@GITREF is the environment as it was in that revision of git. Values that mean the same to
    PostgreSQL are the same, however they are written. Secrets are compared and never shown. What
    belongs to one machine (local files, variables) is left out.

    expected_differences in base.yaml lists keys that may differ; --full shows them.
    """
    from pgstrata.cli.sides import folder_of, load_sides, tell_left_out, tell_unread
    from pgstrata.diff import compare

    folder = folder_of(session.folder)
    if everything:
        tell_unread(folder)
    names = _chosen(env, folder.environments, everything=everything)
    configs = load_sides(session.folder, names)
    tell_left_out(folder, [config.environment for config in configs.values()])
    _tell_misspelt(configs)
    _require_connection(configs, connection)
    compared = compare(configs, connection)
    wanted = only or (STATUSES if full else STATUSES[:-1])
    shown = compared.select(wanted, expected=full)
    _print(output, compared, shown, wanted, full=full)
    differs = any(row.status != "same" for row in shown.rows)
    return FINDINGS if exit_code and differs else OK


def _chosen(
    sides: tuple[str, ...], environments: tuple[str, ...], *, everything: bool
) -> tuple[str, ...]:
    if sides and everything:
        raise UsageError("environments and --all exclude each other")
    chosen = environments if everything else sides
    if len(chosen) < LEAST and not everything:
        raise UsageError("diff needs two environments", hint="name them, or say --all")
    if not chosen:
        hint = "an environment is made by adding its file"
        raise EnvironmentNotFoundError("there are no environments", hint=hint)
    return chosen


def _statuses(said: str | None) -> Collection[Status] | None:
    if said is None:
        return None
    words = {word.strip() for word in said.split(",")}
    if unknown := words.difference(STATUSES):
        raise UsageError(
            f"--only: {min(unknown)!r} is not one of {', '.join(STATUSES)}",
            hint="join several by commas: --only changed,missing",
        )
    return [status for status in STATUSES if status in words]


def _require_connection(configs: dict[str, Config], connection: str | None) -> None:
    """Raise ``UsageError`` where none of the environments has the connection."""
    from pgstrata.cli.choose import connection_of

    if connection is None or any(connection in config.connections for config in configs.values()):
        return
    for config in configs.values():
        connection_of(config, connection)


def _tell_misspelt(configs: dict[str, Config]) -> None:
    """Say which expected differences can never be one."""
    from pgstrata.diff import expected_differences
    from pgstrata.schema.names import is_setting, shown

    said = dict.fromkeys(p for config in configs.values() for p in expected_differences(config))
    for pattern in said:
        if "*" not in pattern and not is_setting(pattern):
            tell(
                f"expected_differences: {shown(pattern)} names no setting",
                hint="write keys as pgstrata show has them, e.g. connection_settings.host",
            )


def _print(
    output: str,
    compared: Comparison,
    shown: Comparison,
    wanted: Collection[Status],
    *,
    full: bool,
) -> None:
    from pgstrata.render import diff as render

    if output == "json":
        print_json(**render.as_json(compared, shown))
    elif output == "html":
        from pgstrata.render.diff_html import html

        click.echo(html(compared, wanted, expected=full))
    elif output == "markdown":
        from pgstrata.render.diff_markdown import markdown

        click.echo(markdown(compared, shown))
    else:
        space = shutil.get_terminal_size((100, 24)).columns
        matrix = render.text(shown, space=space, colour=has_colour(sys.stdout))
        click.echo("\n\n".join(filter(None, (matrix, render.summary(compared)))))
