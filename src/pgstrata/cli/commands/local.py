"""``pgstrata local``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pgstrata.cli import options
from pgstrata.cli.output import print_json, tell
from pgstrata.errors import FINDINGS, OK

if TYPE_CHECKING:
    from pgstrata.local import LocalServer


@click.group("local")
def command() -> None:
    """Start, stop and find the embedded PostgreSQL.

    Each project folder has a server of its own. It listens on this machine only.
    """


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
@options.output("text", "json")
@click.pass_obj
def status(session: options.Session, output: str) -> int:
    """Say whether the server is running; exit code 1 if it is not."""
    from pgstrata import local

    server = local.status(session.folder)
    if output == "json":
        print_json(running=server is not None, server=_as_json(server) if server else None)
    elif server is not None:
        click.echo(_line(server))
    else:
        tell("no server is running", hint="pgstrata local start")
    return FINDINGS if server is None else OK


@command.command()
@click.argument("dbname", default="postgres")
@click.pass_obj
def url(session: options.Session, dbname: str) -> None:
    """Print a URL of database DBNAME [postgres] for psql and others.

    The server is started and the database made where they are missing. The URL names the
    password's file, not the password.
    """
    from urllib.parse import quote, urlencode

    from pgstrata import local

    server = local.start(session.folder)
    local.ensure_database(server, dbname)
    keywords = server.keywords(dbname)
    where = f"{keywords.pop('user')}@{keywords.pop('host')}:{keywords.pop('port')}"
    name = quote(keywords.pop("dbname"), safe="")
    # libpq reads a plus sign as one: https://www.postgresql.org/docs/current/libpq-connect.html
    click.echo(f"postgresql://{where}/{name}?{urlencode(keywords, quote_via=quote)}")


def _line(server: LocalServer) -> str:
    where = f"{server.host}:{server.port}"
    return f"PostgreSQL {server.version} at {where}, pid {server.pid}, in {server.directory}"


def _as_json(server: LocalServer) -> dict[str, object]:
    return {
        "version": server.version,
        "host": server.host,
        "port": server.port,
        "pid": server.pid,
        "directory": str(server.directory),
    }
