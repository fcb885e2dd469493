"""psycopg's connections, made from a Conninfo: secrets are revealed inside ``connect`` and nowhere
else.

A failed attempt is raised as a new error of the same kind, when the frames that held the password
are gone: psycopg's own error keeps libpq's connection object, and its traceback the keywords, which
any reporter of locals would print.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any, TypeAlias

import psycopg
from psycopg.rows import TupleRow

from pgstrata.connect.conninfo import Conninfo
from pgstrata.connect.failure import connection_failed, scrubbed
from pgstrata.errors import PgstrataError

Failures: TypeAlias = deque[Exception]


class Connection(psycopg.Connection[TupleRow]):
    """A psycopg connection that is made from a Conninfo."""

    @classmethod
    def connect(  # type: ignore[override]  # the time-out that a pool adds is in made_with too
        cls, _conninfo: str = "", *, made_with: Conninfo, failures: Failures | None = None, **_: Any
    ) -> Connection:
        """Connect. Raises ``ConnectionFailedError`` with psycopg's error as its cause."""
        try:
            connection = super().connect(**_arguments(made_with))
            try:
                if made_with.session:
                    connection.execute(*set_config(made_with.session), prepare=False)
                connection.autocommit = made_with.autocommit
            except BaseException:
                connection.close()
                raise
        except PgstrataError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, it must not carry the password
            failure = scrubbed(error, made_with)
        else:
            _remember(failures, None)
            return connection
        _remember(failures, failure)
        raise connection_failed(made_with, failure) from failure


class AsyncConnection(psycopg.AsyncConnection[TupleRow]):
    """The same, asynchronous."""

    @classmethod
    async def connect(  # type: ignore[override]  # as above
        cls, _conninfo: str = "", *, made_with: Conninfo, failures: Failures | None = None, **_: Any
    ) -> AsyncConnection:
        """Connect. Raises ``ConnectionFailedError`` with psycopg's error as its cause."""
        try:
            if made_with.local:
                await asyncio.to_thread(_start_local, made_with)
            connection = await super().connect(**_arguments(made_with))
            try:
                if made_with.session:
                    await connection.execute(*set_config(made_with.session), prepare=False)
                await connection.set_autocommit(made_with.autocommit)
            except BaseException:
                await connection.close()
                raise
        except PgstrataError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, it must not carry the password
            failure = scrubbed(error, made_with)
        else:
            _remember(failures, None)
            return connection
        _remember(failures, failure)
        raise connection_failed(made_with, failure) from failure


def _remember(failures: Failures | None, failure: Exception | None) -> None:
    """Keep the last failure for whoever waits for a connection of the pool; a success ends it."""
    if failures is not None:
        failures.clear()
        if failure is not None:
            failures.append(failure)


def set_config(session: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return one statement that sets all the parameters, and its arguments."""
    calls = ", ".join("pg_catalog.set_config(%s, %s, false)" for _ in session)
    return f"SELECT {calls}", [text for setting in session.items() for text in setting]


def _arguments(made_with: Conninfo) -> dict[str, Any]:
    """Return psycopg's arguments. Autocommit is on until the session is set: no rollback may revert
    that.
    """
    keywords: dict[str, Any] = made_with.resolve()
    if made_with.local:
        keywords |= _start_local(made_with)
    return {
        **keywords,
        "autocommit": True,
        "prepare_threshold": 5 if made_with.prepare else None,
    }


def _start_local(made_with: Conninfo) -> dict[str, str]:
    from pgstrata import local

    assert made_with.local is not None
    server = local.start(made_with.local)
    dbname = str(made_with.keywords.get("dbname", "postgres"))
    local.ensure_database(server, dbname)
    return server.keywords(dbname)
