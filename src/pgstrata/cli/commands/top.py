"""``pgstrata top``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, TypeAlias

import click

from pgstrata.cli import options
from pgstrata.cli.output import print_json
from pgstrata.errors import PgstrataError
from pgstrata.render.printable import printable

if TYPE_CHECKING:
    from pgstrata.observe.activity import Activity
    from pgstrata.observe.exposition import Pool

Look: TypeAlias = "Callable[[], tuple[Activity | None, tuple[Pool, ...] | None]]"


@click.command("top")
@options.environment
@options.connection
@click.option("--url", metavar="URL", help="The page of a program's Prometheus metrics.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=2.0,
    show_default=True,
    help="Seconds between two looks.",
)
@click.option("--once", is_flag=True, help="Look once.")
@options.output("text", "json")
@click.pass_obj
def command(
    session: options.Session,
    environment: str | None,
    connection: str | None,
    *,
    url: str | None,
    interval: float,
    once: bool,
    output: str,
) -> None:
    """Watch who is connected to a server, by application_name.

    With --url, watch the pools of a running program, and the server too if --env names one. q ends
    it; a server that goes away does not. json looks once. Nothing is changed on the server.
    """
    from pgstrata.cli import live

    with ExitStack() as stack:
        about = "" if url and not environment else _name(session, environment)
        look = _look(session, stack, about, connection, url)
        if output == "json":
            _print_json(about, *look())
        elif once:
            click.echo(_text(about, *look()))
        else:
            live.show(_held(lambda: _text(about, *look())), interval)


def _name(session: options.Session, environment: str | None) -> str:
    (name,) = session.environments((environment,) if environment else (), everything=False)
    return name


def _look(
    session: options.Session,
    stack: ExitStack,
    environment: str,
    connection: str | None,
    url: str | None,
) -> Look:
    from pgstrata.observe import exposition

    ask = _server(session, stack, environment, connection) if environment else lambda: None
    return lambda: (ask(), exposition.read(url) if url else None)


def _server(
    session: options.Session, stack: ExitStack, environment: str, connection: str | None
) -> Callable[[], Activity]:
    from pgstrata.cli.choose import connection_of
    from pgstrata.connect.manager import PGConnectionManager
    from pgstrata.observe.activity import Watch

    manager = PGConnectionManager(environment, project=session.project)
    name = connection_of(manager.config, connection)
    watch = Watch(lambda: manager.connect(name), manager.config)
    stack.callback(watch.close)
    return watch.look


def _held(view: Callable[[], str]) -> Callable[[], str]:
    """Return a view that goes on when a look fails: it shows why, above what was seen last. If the
    first one fails, there is nothing to go on with.
    """
    seen = ""

    def look() -> str:
        nonlocal seen
        try:
            seen = view()
        except PgstrataError as error:
            if not seen:
                raise
            return f"{printable(str(error))}\n\n{seen}"
        return seen

    return look


def _text(environment: str, activity: Activity | None, pools: tuple[Pool, ...] | None) -> str:
    from pgstrata.render import top

    parts = [top.activity(environment, activity)] if activity else []
    return "\n\n".join([*parts, *([top.pools(pools)] if pools is not None else [])])


def _print_json(
    environment: str, activity: Activity | None, pools: tuple[Pool, ...] | None
) -> None:
    print_json(
        environment=environment or None,
        server=asdict(activity) if activity else None,
        pools=[asdict(pool) for pool in pools] if pools is not None else None,
    )
