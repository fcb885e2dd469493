"""The handle whose blocks borrow from a pool."""

from __future__ import annotations

import logging
import threading
import weakref
from contextlib import closing
from time import monotonic
from traceback import walk_tb
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout
from psycopg_pool.pool import WaitingClient

from pgstrata.connect import lifecycle
from pgstrata.connect.blocks import Enter, Exit
from pgstrata.connect.connection import Connection
from pgstrata.connect.failure import ConnectionFailedError, again, pool_timeout, shut_down
from pgstrata.connect.meter import Listener, Meter, Pooled
from pgstrata.connect.outage import Outage
from pgstrata.connect.plan import Plan
from pgstrata.connect.pool import Pool
from pgstrata.connect.pooler import PID, suspects, warn_of_pooler
from pgstrata.connect.state import untouched

if TYPE_CHECKING:
    import psycopg


class PoolHandle:
    """Blocks that borrow from one pool, which the first of them opens."""

    connection_type: Literal["pool"] = "pool"

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.listeners: list[Listener] = []
        self._begin()
        lifecycle.watch(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._pool: Pool | None = None
        self._retired: Pool | None = None
        self.meter = Meter(Pooled(self.plan.name, self.connection_type), self.listeners)
        self._outage = Outage(self.plan.name, self.plan.patience, self.meter)
        self._finalizer: weakref.finalize[..., Any] | None = None
        self._refuses = threading.Event()

    @property
    def pool(self) -> ConnectionPool[psycopg.Connection]:
        """The pool, psycopg_pool's own, open for as long as this handle lives. Raises
        ``ConnectionFailedError`` where it cannot be opened.
        """
        return self.open()

    def open(self) -> Pool:
        """Open the pool if it is not open. Any number of threads open one pool, and share one
        failure.

        One connection is tried before the pool is made, because a pool by itself would try in the
        background and tell its callers only, when their time is over, that there was no connection.
        """
        if self._pool is not None:
            return self._pool
        with self._lock:
            if self._refuses.is_set():
                raise shut_down()
            if self._pool is None:
                self._keep(self._opened(self.plan, self._outage))
            assert self._pool is not None
            return self._pool

    def _opened(self, plan: Plan, outage: Outage) -> Pool:
        """Try one connection, and open a pool. A server that is starting or full is waited for."""
        until = monotonic() + plan.timeout
        if outage.turn() and outage.failure is not None:
            raise again(outage.failure)
        while True:
            try:
                with closing(Connection.connect(made_with=plan.conninfo)) as probe:
                    if suspects(plan):
                        warn_of_pooler(plan, probe.info.backend_pid, probe.execute(PID).fetchone())
            except ConnectionFailedError as error:
                if outage.failed(error) != "busy" or monotonic() > until:
                    raise
            else:
                outage.over()
                break
            while pause := outage.turn():
                if self._refuses.wait(pause):
                    raise shut_down()
        pool = Pool(plan, outage)
        pool.start()
        return pool

    def _keep(self, pool: Pool) -> None:
        self._pool = pool
        self._finalizer = weakref.finalize(self, _close_quietly, pool)
        self._finalizer.atexit = False  # at_exit does more

    def prepare(self, plan: Plan) -> Pool | None:
        """Return a pool by another plan, for ``replace``, if this handle has one open. Raises
        ``ConnectionFailedError``.
        """
        return (
            self._opened(plan, Outage(plan.name, plan.patience, self.meter)) if self._pool else None
        )

    def replace(self, plan: Plan, pool: Pool | None) -> None:
        """Go on with another plan. What is borrowed is given back to the old pool; who waits there
        goes over to the new one.
        """
        with self._lock:
            old, self._pool = self._detached(), None
            self.plan = plan
            self._outage = pool.outage if pool else Outage(plan.name, plan.patience, self.meter)
            if pool is not None:
                self._keep(pool)
        if old is not None:
            old.close()

    def _detached(self) -> Pool | None:
        if self._finalizer is not None:
            self._finalizer.detach()
        return self._pool

    def connection(self) -> PoolBlock:
        """Return one block. Entering raises ``ConnectionFailedError`` or ``PoolTimeoutError``."""
        return PoolBlock(self)

    def close(self) -> None:
        """Close the pool: idle connections now, borrowed ones as they come back. The next block
        opens a new one.
        """
        with self._lock:
            pool, self._pool = self._detached() or self._retired, None
        if pool is not None:
            pool.close()

    def refuse(self) -> None:
        """Give out no connections any more. What is borrowed may be used until ``close``."""
        self._refuses.set()
        with self._lock:
            if self._pool is not None:
                self._retired, self._pool = self._pool, None

    def in_use(self) -> int:
        """Return how many connections are borrowed."""
        return sum(len(pool.in_use) for pool in self.pools())

    def pools(self) -> list[Pool]:
        """Return the pool that there is, or none."""
        pool = self._pool or self._retired
        return [pool] if pool is not None else []

    def cancel(self) -> None:
        """Cancel what runs on the borrowed connections."""
        pool = self._pool or self._retired
        if pool is not None:
            lifecycle.cancel(list(pool.in_use))

    def replaced(self, pool: Pool) -> bool:
        """Tell whether this handle was closed since it gave out the pool."""
        return pool is not self._pool

    def timed_out(self, pool: Pool) -> Exception:
        """Return the error for a caller that got no connection, with the reason as its cause."""
        return pool_timeout(pool.name, pool.timeout, pool.get_stats(), pool.outage.failure)

    def after_fork(self) -> None:
        """Begin anew in a child: its first block opens a pool of its own."""
        pool = self._detached() or self._retired
        if pool is not None:
            lifecycle.inherit(pool, list(pool.in_use))
        self._begin()

    def at_exit(self) -> None:
        """Stop what runs on the server, and close the pool."""
        self.cancel()
        pool = self._pool or self._retired
        if pool is not None:
            _close_quietly(pool)

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
        handle = self._handle
        self._pool = pool = handle._pool or handle.open()  # noqa: SLF001  # the handle's own block
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
        connection = self._connection
        try:
            if kind is not None or not untouched(connection):
                self._end(connection, kind, error, trace)
        finally:
            self._pool.putconn(connection)

    def _end(self, connection: Connection, kind: Any, error: Any, trace: Any) -> None:
        try:
            if kind is not None:
                connection.__exit__(kind, error, trace)
            elif not connection.closed:
                connection.commit()
        finally:
            if connection.closed:
                self._pool.meter.lost()


def _withdraw(pool: Pool, interrupt: KeyboardInterrupt) -> None:
    """Leave the pool's queue, whose place would be given a connection that nobody takes.

    psycopg_pool does this for an ``Exception`` only. The place is found in the interrupted frame.
    """
    gone = PoolTimeout("interrupted")
    for frame, _ in walk_tb(interrupt.__traceback__):
        place = frame.f_locals.get("self")
        if isinstance(place, WaitingClient) and not place.fail(gone) and place.conn:
            place.conn._pool = pool  # noqa: SLF001  # as getconn does before it gives one out
            ConnectionPool.putconn(pool, place.conn)


def _close_quietly(pool: Pool) -> None:
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
