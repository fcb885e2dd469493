"""psycopg's connections, made from a Conninfo: secrets are revealed inside ``connect`` and nowhere
else.

A failed attempt is raised as a new error of the same kind, when the frames that held the password
are gone: psycopg's own error keeps libpq's connection object, and its traceback the keywords, which
any reporter of locals would print. For the same reason an interruption loses the part of its
traceback that is psycopg's.

A secret may be rotated between reading it and using it. So an attempt that failed is made once more
where a secret has changed meanwhile, before anybody is told of the failure. That is asked after any
failure: in which words a server refuses a password depends on its language.
"""

from __future__ import annotations

import asyncio
import logging
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
        try:
            local = _start_local(made_with) if made_with.local else {}
            taken = made_with.taken()
            result = cls._attempt(taken, local)
            if isinstance(result, Exception) and (changed := made_with.taken()) != taken:
                result = cls._attempt(changed, local)
        except PgstrataError as error:
            _remember(failures, error)
            raise
        return _returned(result, made_with, failures)

    @classmethod
    def _attempt(cls, taken: Conninfo, local: Mapping[str, str]) -> Connection | Exception:
        """Return a connection, or the error without the frames that held the password."""
        try:
            connection = super().connect(**_arguments(taken, local))
            try:
                if taken.session:
                    connection.execute(*set_config(taken.session), prepare=False)
                connection.autocommit = taken.autocommit
            except BaseException:
                connection.close()
                raise
        except Exception as error:  # noqa: BLE001  # whatever it is, it must not carry the password
            return scrubbed(error, taken)
        except BaseException as interruption:  # noqa: BLE001  # psycopg's frames, as above
            raise interruption.with_traceback(None) from None
        return connection


class AsyncConnection(psycopg.AsyncConnection[TupleRow]):
    """The same, asynchronous."""

    @classmethod
    async def connect(  # type: ignore[override]  # as above
        cls, _conninfo: str = "", *, made_with: Conninfo, failures: Failures | None = None, **_: Any
    ) -> AsyncConnection:
        """Connect. Raises ``ConnectionFailedError`` with psycopg's error as its cause."""
        try:
            local = await asyncio.to_thread(_start_local, made_with) if made_with.local else {}
            taken = await asyncio.to_thread(made_with.taken)
            result = await cls._attempt(taken, local)
            if isinstance(result, Exception):
                changed = await asyncio.to_thread(made_with.taken)
                result = await cls._attempt(changed, local) if changed != taken else result
        except PgstrataError as error:
            _remember(failures, error)
            raise
        except asyncio.CancelledError:
            if failures is not None:
                _end_worker(asyncio.current_task())
            raise
        return _returned(result, made_with, failures)

    @classmethod
    async def _attempt(
        cls, taken: Conninfo, local: Mapping[str, str]
    ) -> AsyncConnection | Exception:
        """Return a connection, or the error without the frames that held the password."""
        try:
            connection = await super().connect(**_arguments(taken, local))
            try:
                if taken.session:
                    await connection.execute(*set_config(taken.session), prepare=False)
                await connection.set_autocommit(taken.autocommit)
            except BaseException:
                await connection.close()
                raise
        except Exception as error:  # noqa: BLE001  # whatever it is, it must not carry the password
            return scrubbed(error, taken)
        except BaseException as interruption:  # noqa: BLE001  # psycopg's frames, as above
            raise interruption.with_traceback(None) from None
        return connection


def _returned(result: Made | Exception, made_with: Conninfo, failures: Failures | None) -> Made:
    """Return the connection that an attempt gave, or raise what it failed with."""
    if not isinstance(result, Exception):
        _remember(failures, None)
        return result
    _remember(failures, result)
    raise connection_failed(made_with, result) from result


def _end_worker(worker: asyncio.Task[Any] | None) -> None:
    """Cancel a pool's worker until it ends.

    It is cancelled only when its event loop comes to an end, but takes that for an attempt to
    connect that failed, says so, and goes on: ``asyncio.run`` would wait for it, and the program
    not exit.
    """
    logging.getLogger("psycopg.pool").addFilter(_is_no_cancellation)  # once, however often added
    if worker is not None and not worker.done():
        worker.cancel()
        worker.get_loop().call_soon(_end_worker, worker)


def _is_no_cancellation(record: logging.LogRecord) -> bool:
    arguments = record.args if isinstance(record.args, tuple) else ()
    return not any(isinstance(argument, asyncio.CancelledError) for argument in arguments)


def _remember(failures: Failures | None, failure: Exception | None) -> None:
    """Keep the last failure for whoever waits for a connection of the pool; a success ends it."""
    if failures is None:
        return
    if failure is None:
        failures.clear()
    else:
        failures.append(failure)


def set_config(session: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return one statement that sets all the parameters, and its arguments."""
    calls = ", ".join("pg_catalog.set_config(%s, %s, false)" for _ in session)
    return f"SELECT {calls}", [text for setting in session.items() for text in setting]


def _arguments(made_with: Conninfo, local: Mapping[str, str]) -> dict[str, Any]:
    """Return psycopg's arguments. Autocommit is on until the session is set: no rollback may revert
    that.
    """
    return {
        **made_with.resolve(),
        **local,
        "autocommit": True,
        "prepare_threshold": 5 if made_with.prepare else None,
    }


def keywords(made_with: Conninfo) -> dict[str, Any]:
    """Return what ``psycopg.connect`` takes, secrets in clear; start the embedded server if that is
    meant. Raises ``ConfigError``.
    """
    local = _start_local(made_with) if made_with.local else {}
    without = {} if made_with.prepare else {"prepare_threshold": None}
    return {**made_with.resolve(), **local, **without}


def _start_local(made_with: Conninfo) -> dict[str, str]:
    from pgstrata import local

    assert made_with.local is not None
    server = local.start(made_with.local)
    dbname = str(made_with.keywords.get("dbname", "postgres"))
    local.ensure_database(server, dbname)
    return server.keywords(dbname)
