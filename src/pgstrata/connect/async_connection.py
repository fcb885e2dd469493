"""``Connection`` for event loops; see there for the reasons."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias

import psycopg
from psycopg import rows
from psycopg.abc import PQGen
from psycopg.errors import ReadOnlySqlTransaction
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool, PoolClosed

from pgstrata.connect.attempt import (
    arguments,
    connect_timeout,
    in_time,
    returned,
    set_config,
    start_local,
)
from pgstrata.connect.connection import CHECK_SECONDS
from pgstrata.connect.conninfo import Conninfo
from pgstrata.connect.deadline import within
from pgstrata.connect.failure import DeadlineError, connection_failed, scrubbed
from pgstrata.connect.resolution import resolved_async
from pgstrata.connect.state import State, meet_read_only
from pgstrata.errors import PgstrataError

if TYPE_CHECKING:
    from typing_extensions import LiteralString

    from pgstrata.connect.async_pool import AsyncPool

AsyncHome: TypeAlias = "Callable[[], AsyncPool | None]"


class AsyncConnection(psycopg.AsyncConnection[rows.TupleRow]):
    """A psycopg connection that is made from a Conninfo; see ``Connection``."""

    state: State
    deadline: float | None = None

    @classmethod
    async def connect(  # type: ignore[override]  # as Connection's
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
        local = await asyncio.to_thread(start_local, made_with) if made_with.local else {}
        taken = await asyncio.to_thread(made_with.taken)
        result = await cls._attempt(taken, local)
        if isinstance(result, Exception):
            changed = await asyncio.to_thread(made_with.taken)
            result = await cls._attempt(changed, local) if changed != taken else result
        return returned(result, made_with)

    @classmethod
    async def _attempt(
        cls, taken: Conninfo, local: Mapping[str, str]
    ) -> AsyncConnection | Exception:
        """Return a connection, or the error without the frames that held the password."""
        try:
            connection = await super().connect(**await resolved_async(arguments(taken, local)))
            try:
                connection.state = State(taken, connection)
                connection.deadline = connect_timeout(taken)
                if taken.session:
                    await connection.execute(*set_config(taken.session), prepare=False)
                await connection.set_autocommit(taken.autocommit)
                connection.state.touched = False
                connection.deadline = taken.deadline
            except BaseException:
                await connection.close()
                raise
        except Exception as error:  # noqa: BLE001  # whatever it is, it must not carry the password
            return scrubbed(in_time(error), taken)
        except BaseException as interruption:  # noqa: BLE001  # psycopg's frames, as above
            raise interruption.with_traceback(None) from None
        return connection

    async def ask(self, query: LiteralString) -> rows.TupleRow | None:
        """Return the first row of what has to be answered within ``connect_timeout``."""
        taken = self.state.secrets
        self.deadline = connect_timeout(taken)
        try:
            return await (await self.execute(query)).fetchone()
        except psycopg.Error as error:
            failure = scrubbed(in_time(error), taken)
        finally:
            self.deadline = taken.deadline
        raise connection_failed(taken, failure) from failure

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
