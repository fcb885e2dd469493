"""psycopg's connections, made from a Conninfo: secrets are revealed inside ``connect`` and nowhere
else.

A failed attempt is raised as a new error of the same kind, when the frames that held the password
are gone: psycopg's own error keeps libpq's connection object, and its traceback the keywords, which
any reporter of locals would print.

A secret may be rotated between reading it and using it. So an attempt that failed is made once more
where a secret has changed meanwhile, before anybody is told of the failure.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any, TypeAlias, TypeVar

import psycopg
from psycopg.rows import TupleRow

from pgstrata.connect.conninfo import Conninfo
from pgstrata.connect.failure import connection_failed, scrubbed
from pgstrata.errors import PgstrataError

Failures: TypeAlias = deque[Exception]
Made = TypeVar("Made", "Connection", "AsyncConnection")


class Connection(psycopg.Connection[TupleRow]):
    """A psycopg connection that is made from a Conninfo."""

    @classmethod
    def connect(  # type: ignore[override]  # the time-out that a pool adds is in made_with too
        cls, _conninfo: str = "", *, made_with: Conninfo, failures: Failures | None = None, **_: Any
    ) -> Connection:
        """Connect. Raises ``ConnectionFailedError`` with psycopg's error as its cause."""
        taken = made_with.taken()
        result = cls._attempt(taken)
        # Whatever the failure: what it says of a refused password depends on the server's language.
        if isinstance(result, Exception) and (again := made_with.taken()) != taken:
            result = cls._attempt(again)
        return _returned(result, made_with, failures)

    @classmethod
    def _attempt(cls, taken: Conninfo) -> Connection | Exception:
        """Return a connection, or the error without the frames that held the password."""
        try:
            connection = super().connect(**_arguments(taken))
            try:
                if taken.session:
                    connection.execute(*set_config(taken.session), prepare=False)
                connection.autocommit = taken.autocommit
            except BaseException:
                connection.close()
                raise
        except PgstrataError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, it must not carry the password
            return scrubbed(error, taken)
        return connection


class AsyncConnection(psycopg.AsyncConnection[TupleRow]):
    """The same, asynchronous."""

    @classmethod
    async def connect(  # type: ignore[override]  # as above
        cls, _conninfo: str = "", *, made_with: Conninfo, failures: Failures | None = None, **_: Any
    ) -> AsyncConnection:
        """Connect. Raises ``ConnectionFailedError`` with psycopg's error as its cause."""
        if made_with.local:
            await asyncio.to_thread(_start_local, made_with)
        taken = await asyncio.to_thread(made_with.taken)
        result = await cls._attempt(taken)
        if isinstance(result, Exception):
            again = await asyncio.to_thread(made_with.taken)
            result = await cls._attempt(again) if again != taken else result
        return _returned(result, made_with, failures)

    @classmethod
    async def _attempt(cls, taken: Conninfo) -> AsyncConnection | Exception:
        """Return a connection, or the error without the frames that held the password."""
        try:
            connection = await super().connect(**_arguments(taken))
            try:
                if taken.session:
                    await connection.execute(*set_config(taken.session), prepare=False)
                await connection.set_autocommit(taken.autocommit)
            except BaseException:
                await connection.close()
                raise
        except PgstrataError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, it must not carry the password
            return scrubbed(error, taken)
        return connection


def _returned(result: Made | Exception, made_with: Conninfo, failures: Failures | None) -> Made:
    """Return the connection that an attempt gave, or raise what it failed with."""
    failure = result if isinstance(result, Exception) else None
    _remember(failures, failure)
    if isinstance(result, Exception):
        raise connection_failed(made_with, result) from result
    return result


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
