"""The handle whose blocks borrow from a pool."""

from __future__ import annotations

import logging
import threading
import weakref
from collections import deque
from time import monotonic
from traceback import walk_tb
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout
from psycopg_pool.pool import WaitingClient

from pgstrata.connect.blocks import Enter, Exit
from pgstrata.connect.connection import Connection
from pgstrata.connect.failure import ConnectionFailedError, again, pool_timeout
from pgstrata.connect.plan import Plan

if TYPE_CHECKING:
    import psycopg


class PoolHandle:
    """Blocks that borrow from one pool, which the first of them opens."""

    connection_type: Literal["pool"] = "pool"

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._lock = threading.Lock()
        self._pool: ConnectionPool[psycopg.Connection] | None = None
        self._failures: deque[Exception] = deque(maxlen=1)
        self._refused: tuple[float, ConnectionFailedError] | None = None
        self._finalizer: weakref.finalize[..., Any] | None = None

    @property
    def pool(self) -> ConnectionPool[psycopg.Connection]:
        """psycopg_pool's own pool, open for as long as this handle lives. Raises
        ``ConnectionFailedError`` where it cannot be opened.
        """
        return self._pool or self.open()

    def open(self) -> ConnectionPool[psycopg.Connection]:
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
                raise again(self._refused[1])
            try:
                Connection.connect(made_with=self._plan.conninfo).close()
            except ConnectionFailedError as error:
                self._refused = (monotonic(), again(error))
                raise
            self._pool = self._new_pool()
            self._finalizer = weakref.finalize(self, _close_quietly, self._pool)
            return self._pool

    def _new_pool(self) -> ConnectionPool[psycopg.Connection]:
        pool: ConnectionPool[psycopg.Connection] = ConnectionPool(
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

    def replaced(self, pool: ConnectionPool[psycopg.Connection]) -> bool:
        """Tell whether this handle was closed since it gave out the pool."""
        return pool is not self._pool

    def timed_out(self, pool: ConnectionPool[psycopg.Connection]) -> Exception:
        """Return the error for a caller that got no connection, with the reason as its cause."""
        cause = self._failures[-1] if self._failures else None
        return pool_timeout(pool.name, pool.timeout, pool.get_stats(), cause)

    if TYPE_CHECKING:

        def __enter__(self) -> psycopg.Connection: ...
        def __exit__(
            self,
            kind: type[BaseException] | None,
            error: BaseException | None,
            trace: TracebackType | None,
        ) -> None: ...

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
        except PoolClosed:
            if not self._handle.replaced(pool):
                raise
            return self.__enter__()
        except KeyboardInterrupt as interrupt:
            _withdraw(pool, interrupt)
            raise
        else:
            return self._connection
        raise error

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


def _withdraw(pool: ConnectionPool[psycopg.Connection], interrupt: KeyboardInterrupt) -> None:
    """Leave the pool's queue, whose place would be given a connection that nobody takes.

    psycopg_pool does this for an ``Exception`` only. The place is found in the interrupted frame.
    """
    gone = PoolTimeout("interrupted")
    for frame, _ in walk_tb(interrupt.__traceback__):
        place = frame.f_locals.get("self")
        if isinstance(place, WaitingClient) and not place.fail(gone) and place.conn:
            place.conn._pool = pool  # noqa: SLF001  # as getconn does before it gives one out
            pool.putconn(place.conn)


def _close_quietly(pool: ConnectionPool[psycopg.Connection]) -> None:
    """Close a pool that nobody can use any more, at the latest when the program ends.

    Workers that hang in an attempt to connect are neither waited for nor spoken of: they are daemon
    threads and end with the program.
    """
    here = threading.get_ident()
    logger = logging.getLogger("psycopg.pool")

    def from_others(record: logging.LogRecord) -> bool:
        return record.thread != here

    logger.addFilter(from_others)
    try:
        pool.close(timeout=0)
    finally:
        logger.removeFilter(from_others)
