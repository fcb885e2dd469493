"""A ledger over HTTP with Flask: one connection for each request that asks for one."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from uuid import UUID

import psycopg
from flask import Flask, Response, current_app, g

from pgstrata import PGConnectionManager


def create_app(environment: str | None = None) -> Flask:
    """Return the application. Nothing connects before the first request, so it may be forked."""
    app = Flask(__name__)
    app.extensions["pgstrata"] = PGConnectionManager(environment)
    app.after_request(commit)
    app.teardown_request(give_back)
    app.register_error_handler(psycopg.OperationalError, unavailable)
    app.add_url_rule("/entries/<uuid:entry>/<int:amount>", view_func=put, methods=["PUT"])
    app.add_url_rule("/total", view_func=total)
    return app


def connection() -> psycopg.Connection:
    """Return the request's connection, which is borrowed when it is first asked for."""
    if "blocks" not in g:
        blocks = ExitStack()
        pool = current_app.extensions["pgstrata"].pool()
        g.connection = blocks.enter_context(pool.connection())
        g.blocks = blocks
    borrowed: psycopg.Connection = g.connection
    return borrowed


def commit(response: Response) -> Response:
    """Commit before the answer is sent, unless it tells of an error."""
    if "blocks" in g and response.status_code < 400:  # noqa: PLR2004  # where HTTP's errors begin
        g.pop("blocks").close()
    return response


def give_back(_: BaseException | None) -> None:
    """Roll back what was not committed; Flask calls this after errors too."""
    if "blocks" in g:
        with suppress(psycopg.Rollback), g.pop("blocks"):
            raise psycopg.Rollback


def unavailable(_: Exception) -> tuple[dict[str, str], int, dict[str, str]]:
    """Tell the client to come again: the server is away, or every connection is in use."""
    return {"error": "database unavailable"}, 503, {"Retry-After": "1"}


def put(entry: UUID, amount: int) -> dict[str, int]:
    """Add an entry; the same one again changes nothing, so that a client may repeat it."""
    connection().execute(
        "INSERT INTO ledger VALUES (%s, %s) ON CONFLICT DO NOTHING", (entry, amount)
    )
    return {"amount": amount}


def total() -> dict[str, int]:
    """Return the sum of all entries."""
    row = connection().execute("SELECT coalesce(sum(amount), 0) FROM ledger").fetchone()
    return {"total": row[0] if row else 0}
