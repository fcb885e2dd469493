"""``pgstrata code``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pgstrata.cli import options
from pgstrata.cli.output import tell

if TYPE_CHECKING:
    from pgstrata.codegen.program import Program

TYPES = ("normal", "pool", "async", "async_pool", "all")
LIBRARIES = ("pgstrata", "psycopg")
FRAMEWORKS = ("script", "flask", "fastapi", "django", "sqlalchemy", "celery", "pytest")


@click.command("code")
@options.environment
@options.connection
@click.option(
    "--type",
    "connection_type",
    type=click.Choice(TYPES),
    help="Of the connection; all four are for --framework script alone [connection_type].",
)
@click.option(
    "--library",
    type=click.Choice(LIBRARIES),
    default="pgstrata",
    show_default=True,
    help="psycopg needs no pgstrata.",
)
@click.option(
    "--framework",
    type=click.Choice(FRAMEWORKS),
    default="script",
    show_default=True,
    help="What the program is made for.",
)
@click.pass_obj
def command(
    session: options.Session,
    environment: str | None,
    connection: str | None,
    connection_type: str | None,
    library: str,
    framework: str,
) -> None:
    """Write a program that connects.

    It is complete, typed and formatted, and has no secret in it: what psycopg alone cannot look
    up, the program reads from variables, which are named on stderr.
    """
    from pgstrata.cli.choose import connection_of
    from pgstrata.codegen import program
    from pgstrata.loading import load

    config = load(environment, project=session.project)
    made = program(
        config,
        connection_of(config, connection),
        connection_type=connection_type or "",
        library=library,
        framework=framework,
    )
    print_program(made)


def print_program(made: Program) -> None:
    """Print a program, and tell what it has to be run with."""
    if made.secrets:
        tell(f"the program reads secrets from: {', '.join(made.secrets)}")
    click.echo(made.text.encode(), nl=False)
