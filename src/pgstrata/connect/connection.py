"""psycopg's connections, made from a Conninfo: secrets are revealed inside ``connect`` and nowhere
else.

A failed attempt is raised as a new error of the same kind, when the frames that held the password
are gone: psycopg's own error keeps libpq's connection object, and its traceback the keywords, which
any reporter of locals would print. For the same reason an interruption loses the part of its
traceback that is psycopg's.

A secret may be rotated between reading it and using it. So an attempt that failed is made once more
where a secret has changed meanwhile, before anybody is told of the failure. That is asked after any
failure: in which words a server refuses a password depends on its language.

A connection of a pool is made with ``home``, the way to its pool, whose outage decides when the
next attempt is made: a worker of the pool waits here for as long as the server cannot be reached,
so that psycopg_pool's own distances between attempts, which grow with the outage, play no part.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import psycopg
from psycopg import rows
from psycopg.abc import PQGen
from psycopg.errors import ReadOnlySqlTransaction
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool, ConnectionPool, PoolClosed

from pgstrata.connect.conninfo import Conninfo
from pgstrata.connect.deadline import within
from pgstrata.connect.failure import DeadlineError, connection_failed, scrubbed
from pgstrata.connect.state import State, meet_read_only
from pgstrata.errors import PgstrataError

if TYPE_CHECKING:
    from pgstrata.connect.async_pool import AsyncPool
    from pgstrata.connect.pool import Pool

Made = TypeVar("Made", "Connection", "AsyncConnection")
Home: TypeAlias = "Callable[[], Pool | None]"
AsyncHome: TypeAlias = "Callable[[], AsyncPool | None]"

CHECK_SECONDS = 2.0  # for the answer to an empty query
CANCEL_SECONDS = 1.0


class Connection(psycopg.Connection[rows.TupleRow]):
    """A psycopg connection that is made from a Conninfo. ``state`` is for its pool; ``deadline`` is
    how many seconds the server has to answer, or None.
    """

    state: State
    deadline: float | None = None

    @classmethod
    def connect(  # type: ignore[override]  # the time-out that a pool adds is in made_with too
        cls, _conninfo: str = "", *, made_with: Conninfo, home: Home | None = None, **_: Any
    ) -> Connection:
        """Connect. Raises ``ConnectionFailedError`` with psycopg's error as its cause; for a pool,
        only when it is closed, or there is no hope.
        """
        pool = home() if home is not None else None
        if pool is None:
            return cls._connect(made_with)
        while True:
            while pause := pool.outage.turn():
                if pool.stopping.wait(pause):
                    raise PoolClosed(f"the pool {pool.name!r} is closed")
            try:
                began = monotonic()
                connection = cls._connect(made_with)
            except PgstrataError as error:
                pool.outage.failed(error, pool.get_stats())
                if pool.outage.hopeless() or pool.stopping.is_set():
                    raise
            else:
                pool.outage.over()
                pool.meter.connected(monotonic() - began)
                pool.saw(connection.state.secrets)
                return connection

    @classmethod
    def _connect(cls, made_with: Conninfo) -> Connection:
        local = _start_local(made_with) if made_with.local else {}
        taken = made_with.taken()
        result = cls._attempt(taken, local)
        if isinstance(result, Exception) and (changed := made_with.taken()) != taken:
            result = cls._attempt(changed, local)
        return _returned(result, made_with)

    @classmethod
    def _attempt(cls, taken: Conninfo, local: Mapping[str, str]) -> Connection | Exception:
        """Return a connection, or the error without the frames that held the password."""
        try:
            connection = super().connect(**_arguments(taken, local))
            try:
                connection.state, connection.deadline = State(taken, connection), taken.deadline
                if taken.session:
                    connection.execute(*set_config(taken.session), prepare=False)
                connection.autocommit = taken.autocommit
                connection.state.touched = False
            except BaseException:
                connection.close()
                raise
        except Exception as error:  # noqa: BLE001  # whatever it is, it must not carry the password
            return scrubbed(error, taken)
        except BaseException as interruption:  # noqa: BLE001  # psycopg's frames, as above
            raise interruption.with_traceback(None) from None
        return connection

    def wait(self, gen: PQGen[Any], *arguments: Any, **options: Any) -> Any:
        """Do as psycopg does, until the deadline of the connection, if it has one. Whatever the
        program makes of an error, what it tells of the server is noted here.
        """
        if self.deadline is not None:
            gen = within(self.deadline, gen, self.pgconn)
        try:
            return super().wait(gen, *arguments, **options)
        except DeadlineError:
            self.pgconn.finish()
            raise
        except ReadOnlySqlTransaction:
            meet_read_only(self)
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Commit or roll back. A query that the program's end interrupts is cancelled, as it would
        run on without anybody to take its result.
        """
        if isinstance(error, SystemExit):
            self.stop(CANCEL_SECONDS)
        super().__exit__(kind, error, trace)

    def stop(self, seconds: float) -> None:
        """Cancel what runs on the server, if that is possible in this time."""
        if self.pgconn.transaction_status == TransactionStatus.ACTIVE and seconds > 0:
            with suppress(psycopg.Error):
                self.cancel_safe(timeout=seconds)

    def answers(self) -> bool:
        """Tell whether the server answers soon; if not, the connection is closed."""
        given, self.deadline = self.deadline, CHECK_SECONDS
        try:
            ConnectionPool.check_connection(self)
        except psycopg.Error:
            self.close()
            return False
        finally:
            self.deadline = given
        self.state.used_at = monotonic()
        return True

    def set_autocommit(self, value: bool) -> None:  # noqa: FBT001  # as psycopg's own
        """Do as psycopg does, and remember that it must be undone."""
        self.state.touched = True
        super().set_autocommit(value)

    def set_isolation_level(self, value: psycopg.IsolationLevel | None) -> None:
        """Do as psycopg does, and remember that it must be undone."""
        self.state.touched = True
        super().set_isolation_level(value)

    def set_read_only(self, value: bool | None) -> None:  # noqa: FBT001  # as psycopg's own
        """Do as psycopg does, and remember that it must be undone."""
        self.state.touched = True
        super().set_read_only(value)

    def set_deferrable(self, value: bool | None) -> None:  # noqa: FBT001  # as psycopg's own
        """Do as psycopg does, and remember that it must be undone."""
        self.state.touched = True
        super().set_deferrable(value)

    def restore(self) -> None:
        """Undo what a borrower changed on this side of the connection; close it if that fails."""
        try:
            if self.pgconn.transaction_status != TransactionStatus.IDLE:
                self.rollback()
            self.autocommit = self.state.autocommit
            self.isolation_level = self.read_only = self.deferrable = None
        except psycopg.Error:
            self.close()
        self.row_factory = self.state.row_factory
        self.cursor_factory = self.state.cursor_factory
        self.state.touched = False


class AsyncConnection(psycopg.AsyncConnection[rows.TupleRow]):
    """The same, asynchronous."""

    state: State
    deadline: float | None = None

    @classmethod
    async def connect(  # type: ignore[override]  # as above
        cls, _conninfo: str = "", *, made_with: Conninfo, home: AsyncHome | None = None, **_: Any
    ) -> AsyncConnection:
        """Connect. Raises ``ConnectionFailedError`` with psycopg's error as its cause; for a pool,
        only when it is closed, or there is no hope.
        """
        pool = home() if home is not None else None
        if pool is None:
            return await cls._connect(made_with)
        try:
            return await cls._connect_for(pool, made_with)
        except asyncio.CancelledError:
            _end_worker(asyncio.current_task())
            raise

    @classmethod
    async def _connect_for(cls, pool: AsyncPool, made_with: Conninfo) -> AsyncConnection:
        while True:
            while pause := pool.outage.turn():
                await asyncio.sleep(pause)
                if pool.stopping.is_set():
                    raise PoolClosed(f"the pool {pool.name!r} is closed")
            try:
                began = monotonic()
                connection = await cls._connect(made_with)
            except PgstrataError as error:
                pool.outage.failed(error, pool.get_stats())
                if pool.outage.hopeless() or pool.stopping.is_set():
                    raise
            else:
                pool.outage.over()
                pool.meter.connected(monotonic() - began)
                await pool.saw(connection.state.secrets)
                return connection

    @classmethod
    async def _connect(cls, made_with: Conninfo) -> AsyncConnection:
        local = await asyncio.to_thread(_start_local, made_with) if made_with.local else {}
        taken = await asyncio.to_thread(made_with.taken)
        result = await cls._attempt(taken, local)
        if isinstance(result, Exception):
            changed = await asyncio.to_thread(made_with.taken)
            result = await cls._attempt(changed, local) if changed != taken else result
        return _returned(result, made_with)

    @classmethod
    async def _attempt(
        cls, taken: Conninfo, local: Mapping[str, str]
    ) -> AsyncConnection | Exception:
        """Return a connection, or the error without the frames that held the password."""
        try:
            connection = await super().connect(**_arguments(taken, local))
            try:
                connection.state, connection.deadline = State(taken, connection), taken.deadline
                if taken.session:
                    await connection.execute(*set_config(taken.session), prepare=False)
                await connection.set_autocommit(taken.autocommit)
                connection.state.touched = False
            except BaseException:
                await connection.close()
                raise
        except Exception as error:  # noqa: BLE001  # whatever it is, it must not carry the password
            return scrubbed(error, taken)
        except BaseException as interruption:  # noqa: BLE001  # psycopg's frames, as above
            raise interruption.with_traceback(None) from None
        return connection

    async def wait(self, gen: PQGen[Any], *arguments: Any, **options: Any) -> Any:
        """Do as psycopg does, until the deadline of the connection, if it has one."""
        if self.deadline is not None:
            gen = within(self.deadline, gen, self.pgconn)
        try:
            return await super().wait(gen, *arguments, **options)
        except DeadlineError:
            self.pgconn.finish()
            raise
        except ReadOnlySqlTransaction:
            meet_read_only(self)
            raise

    async def answers(self) -> bool:
        """Tell whether the server answers soon; if not, the connection is closed."""
        given, self.deadline = self.deadline, CHECK_SECONDS
        try:
            await AsyncConnectionPool.check_connection(self)
        except psycopg.Error:
            await self.close()
            return False
        finally:
            self.deadline = given
        self.state.used_at = monotonic()
        return True

    async def set_autocommit(self, value: bool) -> None:  # noqa: FBT001  # as psycopg's own
        """Do as psycopg does, and remember that it must be undone."""
        self.state.touched = True
        await super().set_autocommit(value)

    async def set_isolation_level(self, value: psycopg.IsolationLevel | None) -> None:
        """Do as psycopg does, and remember that it must be undone."""
        self.state.touched = True
        await super().set_isolation_level(value)

    async def set_read_only(self, value: bool | None) -> None:  # noqa: FBT001  # as psycopg's own
        """Do as psycopg does, and remember that it must be undone."""
        self.state.touched = True
        await super().set_read_only(value)

    async def set_deferrable(self, value: bool | None) -> None:  # noqa: FBT001  # as psycopg's own
        """Do as psycopg does, and remember that it must be undone."""
        self.state.touched = True
        await super().set_deferrable(value)

    async def restore(self) -> None:
        """Undo what a borrower changed on this side of the connection; close it if that fails."""
        try:
            if self.pgconn.transaction_status != TransactionStatus.IDLE:
                await self.rollback()
            await self.set_autocommit(self.state.autocommit)
            await self.set_isolation_level(None)
            await self.set_read_only(None)
            await self.set_deferrable(None)
        except psycopg.Error:
            await self.close()
        self.row_factory = self.state.row_factory
        self.cursor_factory = self.state.cursor_factory
        self.state.touched = False


def _returned(result: Made | Exception, made_with: Conninfo) -> Made:
    """Return the connection that an attempt gave, or raise what it failed with."""
    if not isinstance(result, Exception):
        return result
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
