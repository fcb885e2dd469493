"""``pgstrata impact``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pgstrata.cli import options
from pgstrata.cli.output import print_json, tell
from pgstrata.errors import CONFIG, FINDINGS, OK, ConfigError, ProjectNotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pgstrata.model import Config


@click.command("impact")
@click.option(
    "--from",
    "revision",
    metavar="GITREF",
    default="HEAD",
    show_default=True,
    help="What the files are compared with; main... is where this branch left main.",
)
@click.option("--protected-only", is_flag=True, help="Only environments with protected: true.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 if any environment is touched.")
@options.output("text", "json", "markdown")
@click.pass_obj
def command(
    session: options.Session,
    revision: str,
    output: str,
    *,
    protected_only: bool,
    exit_code: bool,
) -> int:
    """Show what a change does to the effective settings of each environment.

    The files as they are now are compared with those of a revision of git, through extends and
    defaults. What belongs to one machine (local files, variables) is left out.

    Exit code 3 if an environment cannot be loaded any more, or if there is none.
    """
    from pgstrata.cli.sides import folder_of, require, tell_left_out, tell_unread
    from pgstrata.impact import impacts
    from pgstrata.loading import load_shared
    from pgstrata.render import impact as render

    folder = folder_of(session.folder)
    before = _before(session.folder, revision)
    after = load_shared(folder.environments, folder)
    tell_left_out(folder, folder.environments)
    tell_unread(folder)
    found = impacts(before, after)
    if protected_only:
        found = [one for one in found if one.protected or one.state == "broken"]
    if output == "json":
        print_json(**{"from": revision}, environments=render.as_json(found))
    elif output == "markdown":
        click.echo(render.markdown(found, revision))
    elif found:
        click.echo(render.text(found))
    if not found:
        tell("there are no environments to look at")
    if not (before or after):
        return CONFIG
    require(
        {one.environment: one.problem for one in found if one.problem and one.state == "broken"}
    )
    touched = any(one.state != "unaffected" for one in found)
    return FINDINGS if exit_code and touched else OK


def _before(project: Path, revision: str) -> Mapping[str, Config | ConfigError]:
    from pgstrata.cli.sides import folder_of
    from pgstrata.loading import load_shared

    try:
        folder = folder_of(project, revision)
    except ProjectNotFoundError as error:
        tell(f"{error}: every environment is new")
        return {}
    return load_shared(folder.environments, folder)
