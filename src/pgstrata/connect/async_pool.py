"""The handle whose asynchronous blocks borrow from a pool: one for each event loop."""

from __future__ import annotations

import asyncio
import atexit
import weakref
from collections import deque
from collections.abc import Generator
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from pgstrata.connect.blocks import Enter, Exit
from pgstrata.connect.connection import AsyncConnection
from pgstrata.connect.failure import ConnectionFailedError, again, pool_timeout
from pgstrata.connect.plan import Plan

if TYPE_CHECKING:
    import psycopg
    from typing_extensions import Self

Loop: TypeAlias = asyncio.AbstractEventLoop
Pool: TypeAlias = "AsyncConnectionPool[psycopg.AsyncConnection]"


class AsyncPoolHandle:
    """Blocks that borrow from the pool of their event loop, which the first of them opens. It may
    be awaited, which opens the pool of this loop.
    """

    connection_type: Literal["async_pool"] = "async_pool"

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._pools: dict[Loop, Pool] = {}
        self._opening: dict[Loop, asyncio.Task[Pool]] = {}
        self._failures: deque[Exception] = deque(maxlen=1)
        weakref.finalize(self, _close_all, self._pools).atexit = False  # _close_at_exit does more
        _alive.add(self)

    @property
    def pool(self) -> Pool:
        """psycopg_pool's own pool of the running loop, open for as long as this handle lives.
        Raises ``RuntimeError`` before it was opened.
        """
        pool = self._pools.get(asyncio.get_running_loop())
        if pool is None:
            raise RuntimeError(
                "the pool of this event loop is not open yet; await the handle first"
            )
        return pool

    async def open(self) -> Pool:
        """Open the pool of the running loop if it is not open; any number of tasks open one, and
        share one failure.

        The work is a task of its own: when the caller that began it is cancelled, the others still
        get their pool.
        """
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is not None:
            return pool
        self._forget_closed_loops()
        if loop not in self._opening:
            self._opening[loop] = task = loop.create_task(self._open(loop))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            return await asyncio.shield(self._opening[loop])
        except ConnectionFailedError as error:
            refusal = again(error)
        raise refusal

    async def _open(self, loop: Loop) -> Pool:
        """Try one connection, for the reason that ``PoolHandle.open`` gives, and make the pool."""
        try:
            probe = await AsyncConnection.connect(made_with=self._plan.conninfo)
            await probe.close()
            pool: Pool = AsyncConnectionPool(
                connection_class=AsyncConnection,
                kwargs={"made_with": self._plan.conninfo, "failures": self._failures},
                check=AsyncConnectionPool.check_connection if self._plan.check else None,
                open=False,
                **self._plan.pool_options,
            )
            await pool.open()
            self._pools[loop] = pool
            return pool
        finally:
            self._opening.pop(loop, None)

    def _forget_closed_loops(self) -> None:
        for loop in [loop for loop in list(self._pools) if loop.is_closed()]:
            if pool := self._pools.pop(loop, None):
                _abandon(pool)
        for loop in [loop for loop in list(self._opening) if loop.is_closed()]:
            self._opening.pop(loop, None)

    def connection(self) -> AsyncPoolBlock:
        """Return one block. Entering raises ``ConnectionFailedError`` or ``PoolTimeoutError``."""
        return AsyncPoolBlock(self)

    def __await__(self) -> Generator[Any, None, Self]:
        return self._opened().__await__()

    async def _opened(self) -> Self:
        await self.open()
        return self

    async def aclose(self) -> None:
        """Close the pool of the running loop and wait; see to it that those of other loops are
        closed.
        """
        pool = self._pools.pop(asyncio.get_running_loop(), None)
        self.close()
        if pool is not None:
            await pool.close()

    def close(self) -> None:
        """See to it that all pools are closed: by their own loops where these run, at once where
        they do not.
        """
        _close_all(self._pools)

    def replaced(self, pool: Pool) -> bool:
        """Tell whether this handle was closed since it gave out the pool."""
        return pool not in self._pools.values()

    def timed_out(self, pool: Pool) -> Exception:
        """Return the error for a caller that got no connection, with the reason as its cause."""
        cause = self._failures[-1] if self._failures else None
        return pool_timeout(pool.name, pool.timeout, pool.get_stats(), cause)

    if TYPE_CHECKING:

        async def __aenter__(self) -> psycopg.AsyncConnection: ...
        async def __aexit__(
            self,
            kind: type[BaseException] | None,
            error: BaseException | None,
            trace: TracebackType | None,
        ) -> None: ...

    else:
        __aenter__, __aexit__ = Enter("__aenter__"), Exit("__aexit__")


class AsyncPoolBlock:
    """One block of an ``AsyncPoolHandle``."""

    __slots__ = ("_connection", "_handle", "_pool")

    def __init__(self, handle: AsyncPoolHandle) -> None:
        self._handle = handle

    async def __aenter__(self) -> psycopg.AsyncConnection:
        self._pool = pool = await self._handle.open()
        try:
            self._connection = await pool.getconn()
        except PoolTimeout:
            error = self._handle.timed_out(pool)
        except PoolClosed:
            if not self._handle.replaced(pool):
                raise
            return await self.__aenter__()
        else:
            return self._connection
        raise error

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self._connection.__aexit__(kind, error, trace)
        finally:
            await self._give_back()

    async def _give_back(self) -> None:
        """Return the connection to its pool. One that the pool must first roll back is returned by
        a task of its own, as a second cancellation would lose it on the way.
        """
        returning = self._pool.putconn(self._connection)
        if self._connection.pgconn.transaction_status == TransactionStatus.IDLE:
            await returning
        else:
            await asyncio.shield(returning)


def _close_all(pools: dict[Loop, Pool]) -> None:
    """Close and forget all pools. Only its own loop can close a pool; what is left of a loop that
    is gone are the pool's connections.
    """
    while pools:
        loop, pool = pools.popitem()
        if not loop.is_running():
            _abandon(pool)
        with suppress(RuntimeError):  # the loop is closed, or closes at this moment
            loop.call_soon_threadsafe(_begin_closing, pool)


def _abandon(pool: Pool) -> None:
    """Close the idle connections of a pool whose loop does not run any more; nothing of it can be
    awaited.
    """
    for connection in list(pool._pool):  # noqa: SLF001  # psycopg_pool cannot close without a loop
        connection.pgconn.finish()


_closing: set[asyncio.Task[None]] = set()  # a loop keeps its tasks weakly


def _begin_closing(pool: Pool) -> None:
    task = asyncio.get_running_loop().create_task(pool.close())
    _closing.add(task)
    task.add_done_callback(_closing.discard)


_alive: weakref.WeakSet[AsyncPoolHandle] = weakref.WeakSet()


@atexit.register
def _close_at_exit() -> None:
    """Close what is open when the program ends. A loop that was left open, but does not run, is run
    for the last time: its workers would end with complaints from Python otherwise.
    """
    for pools in [handle._pools for handle in list(_alive)]:  # noqa: SLF001  # a private part of it
        for loop, pool in list(pools.items()):
            if not loop.is_running() and not loop.is_closed():
                loop.run_until_complete(_end_workers(pool))
        _close_all(pools)


async def _end_workers(pool: Pool) -> None:
    workers = [*pool._workers, pool._sched_runner]  # noqa: SLF001  # close() waits, and complains
    left = [worker for worker in workers if worker is not None and worker.cancel()]
    if left:
        await asyncio.wait(left, timeout=1)
