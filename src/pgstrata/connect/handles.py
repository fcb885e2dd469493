"""The four handles: what the manager gives out.

A handle is safe to share between threads and tasks. Each ``with`` block on it has a connection of
its own, which it commits on success and rolls back on an exception; so blocks may nest, and may end
in another thread.

========== =============================== ==========================================
type       a block                         kept between blocks
========== =============================== ==========================================
normal     connects and closes             nothing
async      the same                        nothing
pool       borrows and gives back          a ConnectionPool
async_pool the same                        an AsyncConnectionPool for each event loop
========== =============================== ==========================================
"""

from __future__ import annotations

import asyncio
import logging
import threading
import weakref
from collections import deque
from collections.abc import Generator
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from psycopg_pool import AsyncConnectionPool, ConnectionPool, PoolTimeout

from pgstrata.connect.blocks import Enter, Exit
from pgstrata.connect.connection import AsyncConnection, Connection
from pgstrata.connect.failure import ConnectionFailedError, pool_timeout
from pgstrata.connect.plan import Plan

if TYPE_CHECKING:
    import psycopg
    from typing_extensions import Self

Loop: TypeAlias = asyncio.AbstractEventLoop


class NormalHandle:
    """A connection of its own for each block, made at its beginning and closed at its end."""

    connection_type: Literal["normal"] = "normal"

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def connection(self) -> NormalBlock:
        """Return one block. Entering it raises ``ConnectionFailedError``."""
        return NormalBlock(self._plan)

    def close(self) -> None:
        """Nothing is kept, so there is nothing to close."""

    if TYPE_CHECKING:

        def __enter__(self) -> psycopg.Connection: ...
        def __exit__(self, *exception: object) -> None: ...

    else:
        __enter__, __exit__ = Enter("__enter__"), Exit("__exit__")


class NormalBlock:
    """One block of a ``NormalHandle``."""

    __slots__ = ("_connection", "_plan")

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def __enter__(self) -> psycopg.Connection:
        self._connection = Connection.connect(made_with=self._plan.conninfo)
        return self._connection

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.__exit__(kind, error, trace)


class AsyncHandle:
    """The same, asynchronous. It may be awaited, which gives the handle itself."""

    connection_type: Literal["async"] = "async"

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def connection(self) -> AsyncBlock:
        """Return one block. Entering it raises ``ConnectionFailedError``."""
        return AsyncBlock(self._plan)

    def __await__(self) -> Generator[Any, None, Self]:
        return self._itself().__await__()

    async def _itself(self) -> Self:
        return self

    def close(self) -> None:
        """Nothing is kept, so there is nothing to close."""

    async def aclose(self) -> None:
        """Nothing is kept, so there is nothing to close."""

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


class AsyncBlock:
    """One block of an ``AsyncHandle``."""

    __slots__ = ("_connection", "_plan")

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    async def __aenter__(self) -> psycopg.AsyncConnection:
        self._connection = await AsyncConnection.connect(made_with=self._plan.conninfo)
        return self._connection

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._connection.__aexit__(kind, error, trace)


class PoolHandle:
    """Blocks that borrow from one pool, which the first of them opens."""

    connection_type: Literal["pool"] = "pool"

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._lock = threading.Lock()
        self._pool: ConnectionPool[Connection] | None = None
        self._failures: deque[Exception] = deque(maxlen=1)
        self._refused: tuple[float, ConnectionFailedError] | None = None
        self._finalizer: weakref.finalize[..., Any] | None = None

    @property
    def pool(self) -> ConnectionPool[Connection]:
        """psycopg_pool's own pool, open. Raises ``ConnectionFailedError`` where it cannot be
        opened.
        """
        return self._pool or self.open()

    def open(self) -> ConnectionPool[Connection]:
        """Open the pool if it is not open. Any number of threads open one pool, and share one
        failure.

        One connection is tried before the pool is made, because a pool by itself would try in the
        background and tell its callers only, when their time is over, that there was no connection.
        """
        began = monotonic()
        with self._lock:
            if self._pool is not None:
                return self._pool
            if self._refused is not None and self._refused[0] > began:
                refusal = self._refused[1]
                raise ConnectionFailedError(str(refusal), hint=refusal.hint) from refusal.__cause__
            try:
                Connection.connect(made_with=self._plan.conninfo).close()
            except ConnectionFailedError as error:
                self._refused = (monotonic(), error)
                raise
            self._pool = self._new_pool()
            self._finalizer = weakref.finalize(self, _close_quietly, self._pool)
            return self._pool

    def _new_pool(self) -> ConnectionPool[Connection]:
        pool = ConnectionPool(
            connection_class=Connection,
            kwargs={"made_with": self._plan.conninfo, "failures": self._failures},
            check=ConnectionPool.check_connection if self._plan.check else None,
            open=False,
            **self._plan.pool_options,
        )
        pool.open()
        return pool

    def connection(self) -> PoolBlock:
        """Return one block. Entering raises ``ConnectionFailedError`` or ``PoolTimeoutError``."""
        return PoolBlock(self)

    def close(self) -> None:
        """Close the pool: idle connections now, borrowed ones as they come back. The next block
        opens a new one.
        """
        with self._lock:
            if self._finalizer is not None:
                self._finalizer.detach()
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def timed_out(self, pool: ConnectionPool[Connection]) -> Exception:
        """Return the error for a caller that got no connection, with the reason as its cause."""
        cause = self._failures[-1] if self._failures else None
        return pool_timeout(pool.name, pool.timeout, pool.get_stats(), cause)

    if TYPE_CHECKING:

        def __enter__(self) -> psycopg.Connection: ...
        def __exit__(self, *exception: object) -> None: ...

    else:
        __enter__, __exit__ = Enter("__enter__"), Exit("__exit__")


class PoolBlock:
    """One block of a ``PoolHandle``. It remembers its pool, as the handle may be closed and opened
    meanwhile.
    """

    __slots__ = ("_connection", "_handle", "_pool")

    def __init__(self, handle: PoolHandle) -> None:
        self._handle = handle

    def __enter__(self) -> psycopg.Connection:
        self._pool = pool = self._handle.pool
        try:
            self._connection = pool.getconn()
        except PoolTimeout:
            error = self._handle.timed_out(pool)
        else:
            return self._connection
        raise error from error.__cause__

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._connection.__exit__(kind, error, trace)
        finally:
            self._pool.putconn(self._connection)


class AsyncPoolHandle:
    """The same, asynchronous: one pool for each event loop. It may be awaited, which opens the pool
    of this loop.
    """

    connection_type: Literal["async_pool"] = "async_pool"

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._pools: dict[Loop, AsyncConnectionPool[AsyncConnection]] = {}
        self._opening: dict[Loop, asyncio.Task[AsyncConnectionPool[AsyncConnection]]] = {}
        self._failures: deque[Exception] = deque(maxlen=1)
        # A loop that is gone cannot close its pool; what is left of it is the connections.
        weakref.finalize(self, _abandon_all, self._pools)

    @property
    def pool(self) -> AsyncConnectionPool[AsyncConnection]:
        """psycopg_pool's own pool of the running loop. Raises ``RuntimeError`` before it was
        opened.
        """
        pool = self._pools.get(asyncio.get_running_loop())
        if pool is None:
            raise RuntimeError(
                "the pool of this event loop is not open yet; await the handle first"
            )
        return pool

    async def open(self) -> AsyncConnectionPool[AsyncConnection]:
        """Open the pool of the running loop if it is not open; any number of tasks open one.

        The work is a task of its own: when the caller that began it is cancelled, the others still
        get their pool.
        """
        loop = asyncio.get_running_loop()
        if loop in self._pools:
            return self._pools[loop]
        self._forget_closed_loops()
        if loop not in self._opening:
            self._opening[loop] = task = loop.create_task(self._open(loop))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(self._opening[loop])

    async def _open(self, loop: Loop) -> AsyncConnectionPool[AsyncConnection]:
        try:
            probe = await AsyncConnection.connect(made_with=self._plan.conninfo)
            await probe.close()
            pool = AsyncConnectionPool(
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
            del self._opening[loop]

    def _forget_closed_loops(self) -> None:
        for loop in [loop for loop in self._pools if loop.is_closed()]:
            _abandon(self._pools.pop(loop))
        for loop in [loop for loop in self._opening if loop.is_closed()]:
            del self._opening[loop]

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
        if pool is not None:
            await pool.close()
        self.close()

    def close(self) -> None:
        """See to it that all pools are closed: by their own loops where these run, at once where
        they do not.
        """
        while self._pools:
            loop, pool = self._pools.popitem()
            if loop.is_running():
                asyncio.run_coroutine_threadsafe(pool.close(), loop)
            else:
                _abandon(pool)

    def timed_out(self, pool: AsyncConnectionPool[AsyncConnection]) -> Exception:
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
        else:
            return self._connection
        raise error from error.__cause__

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self._connection.__aexit__(kind, error, trace)
        finally:
            await self._pool.putconn(self._connection)


Handle: TypeAlias = NormalHandle | PoolHandle | AsyncHandle | AsyncPoolHandle


def _close_quietly(pool: ConnectionPool[Connection]) -> None:
    """Close a pool that nobody can use any more, at the latest when the program ends.

    Workers that hang in an attempt to connect are neither waited for nor spoken of: they are daemon
    threads and end with the program.
    """
    logger = logging.getLogger("psycopg.pool")
    logger.addFilter(_nothing)
    try:
        pool.close(timeout=0.1)
    finally:
        logger.removeFilter(_nothing)


def _nothing(_record: logging.LogRecord) -> bool:
    return False


def _abandon_all(pools: dict[Loop, AsyncConnectionPool[AsyncConnection]]) -> None:
    while pools:
        _abandon(pools.popitem()[1])


def _abandon(pool: AsyncConnectionPool[AsyncConnection]) -> None:
    """Close the idle connections of a pool whose loop does not run any more; nothing of it can be
    awaited.
    """
    for connection in list(pool._pool):  # noqa: SLF001  # psycopg_pool has no way to close without its loop
        connection.pgconn.finish()
