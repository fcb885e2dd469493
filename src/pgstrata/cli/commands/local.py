"""``pgstrata local``."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import click

from pgstrata.cli import options
from pgstrata.cli.failure import tell
from pgstrata.errors import FINDINGS, OK

if TYPE_CHECKING:
    from pgstrata.local import LocalServer


@click.group("local")
def command() -> None:
    """Start, stop and find the embedded PostgreSQL."""


@command.command()
@click.pass_obj
def start(session: options.Session) -> None:
    """Start the server if it is not running; make it on first use."""
    from pgstrata import local

    click.echo(_line(local.start(session.folder)))


@command.command()
@click.pass_obj
def stop(session: options.Session) -> None:
    """Stop the server; its data stay."""
    from pgstrata import local

    tell("stopped" if local.stop(session.folder) else "no server was running")


@command.command()
@click.pass_obj
def status(session: options.Session) -> int:
    """Say whether the server is running; exit code 1 if it is not."""
    from pgstrata import local

    server = local.status(session.folder)
    if server is None:
        tell("no server is running", hint="pgstrata local start")
        return FINDINGS
    click.echo(_line(server))
    return OK


@command.command()
@click.argument("dbname", default="postgres")
@click.pass_obj
def url(session: options.Session, dbname: str) -> None:
    """Print a URL for psql and others. It names the password's file, not the password."""
    from pgstrata import local

    server = local.start(session.folder)
    local.ensure_database(server, dbname)
    keywords = server.keywords(dbname)
    where = f"{keywords.pop('user')}@{keywords.pop('host')}:{keywords.pop('port')}"
    del keywords["dbname"]
    click.echo(f"postgresql://{where}/{quote(dbname, safe='')}?{urlencode(keywords)}")


def _line(server: LocalServer) -> str:
    where = f"{server.host}:{server.port}"
    return f"PostgreSQL {server.version} at {where}, pid {server.pid}, in {server.directory}"
