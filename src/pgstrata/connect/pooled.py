"""The handle whose blocks borrow from a pool."""

from __future__ import annotations

import threading
import weakref
from contextlib import closing
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from psycopg_pool import ConnectionPool, PoolClosed

from pgstrata.connect import lifecycle
from pgstrata.connect.blocks import ENTERED, Enter, Exit
from pgstrata.connect.connection import Connection
from pgstrata.connect.failure import (
    ConnectionFailedError,
    PoolTimeoutError,
    again,
    pool_timeout,
    shut_down,
)
from pgstrata.connect.meter import Listener, Meter, Pooled
from pgstrata.connect.outage import Outage
from pgstrata.connect.plan import Plan
from pgstrata.connect.pool import CLOSING, Pool
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
        self._opening = threading.Lock()  # held while a first connection is tried
        self._lock = threading.Lock()  # held while what follows changes
        self._pool: Pool | None = None
        self._made: list[Pool] = []  # those that are open, and those still borrowed from
        self._changes = 0  # how often what was opened came to be given out no more
        self._refuses = threading.Event()
        self.meter = Meter(Pooled(self.plan.name, self.connection_type), self.listeners)
        self._outage = Outage(self.plan.name, self.plan.patience, self.meter)
        self._finalizer = weakref.finalize(self, _close_all, self._made)
        self._finalizer.atexit = False  # at_exit does more

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
        pool = self._pool
        if pool is not None:
            return pool
        if not self._opening.acquire(timeout=self.plan.timeout):
            raise not_opened(self.plan, self._outage)
        try:
            while (pool := self._pool) is None:
                self._open()
            return pool
        finally:
            self._opening.release()

    def _open(self) -> None:
        """Open a pool, and keep it, unless that is not what this handle wants any more."""
        with self._lock:
            plan, outage, before = self.plan, self._outage, self._changes
        if self._refuses.is_set():
            raise shut_down()
        pool = self._opened(plan, outage)
        with self._lock:
            wanted = self._changes == before
            if wanted:
                self._keep(pool)
        if not wanted:
            pool.close()

    def _opened(self, plan: Plan, outage: Outage) -> Pool:
        """Try one connection, and open a pool. A server that is starting or full is waited for."""
        until = monotonic() + plan.timeout
        if outage.turn() and outage.failure is not None:
            raise again(outage.failure)
        while True:
            try:
                _probe(plan)
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
        self._made[:] = [*self.pools(), pool]

    def _give_up(self) -> list[Pool]:
        """Give out what was opened, and what is being opened, no more. Return all there are."""
        self._changes += 1
        self._pool = None
        return self.pools()

    def prepare(self, plan: Plan) -> Pool | None:
        """Return a pool by another plan, for ``replace``, if this handle has one open. Raises
        ``ConnectionFailedError``.
        """
        return (
            self._opened(plan, Outage(plan.name, plan.patience, self.meter)) if self._pool else None
        )

    def discard(self, pool: Pool | None) -> None:
        """Close what was prepared."""
        if pool is not None:
            pool.close()

    def replace(self, plan: Plan, pool: Pool | None) -> None:
        """Go on with another plan. What is borrowed is given back to the old pool; who waits there
        goes over to the new one.
        """
        with self._lock:
            closing = self._give_up()
            self.plan = plan
            self._outage = pool.outage if pool else Outage(plan.name, plan.patience, self.meter)
            if pool is not None:
                self._keep(pool)
            if self._refuses.is_set():
                closing = self._give_up()
        for each in closing:
            each.close()

    def connection(self) -> PoolBlock:
        """Return one block. Entering raises ``ConnectionFailedError`` or ``PoolTimeoutError``."""
        return PoolBlock(self)

    def close(self) -> None:
        """Close the pool: idle connections now, borrowed ones as they come back. The next block
        opens a new one.
        """
        with self._lock:
            closing = self._give_up()
        for pool in closing:
            pool.close(0 if self._refuses.is_set() else CLOSING)

    def refuse(self) -> None:
        """Give out no connections any more. What is borrowed may be used until ``close``."""
        with self._lock:
            self._refuses.set()
            self._give_up()

    def in_use(self) -> int:
        """Return how many connections are borrowed."""
        return sum(len(pool.in_use) for pool in self.pools())

    def borrowed(self) -> list[Connection]:
        """Return the connections that are borrowed."""
        return [connection for pool in self.pools() for connection in list(pool.in_use)]

    def pools(self) -> list[Pool]:
        """Return the pool that is open, if one is, and those that are still borrowed from."""
        return [pool for pool in list(self._made) if pool.in_use or not pool.closed]

    def replaced(self, pool: Pool) -> bool:
        """Tell whether this handle was closed since it gave out the pool."""
        return pool is not self._pool

    def after_fork(self) -> None:
        """Begin anew in a child: its first block opens a pool of its own."""
        self._finalizer.detach()
        for pool in self._made:
            lifecycle.inherit(pool, list(pool.in_use))
        self._begin()

    def at_exit(self) -> None:
        """Close the pool."""
        _close_all(self._made)

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
        self._connection: Any = None

    def __enter__(self) -> psycopg.Connection:
        if self._connection is not None:
            raise RuntimeError(ENTERED)
        handle = self._handle
        self._pool = pool = handle._pool or handle.open()  # noqa: SLF001  # the handle's own block
        try:
            self._connection = connection = pool.getconn()
        except PoolClosed:
            if not self._handle.replaced(pool):
                raise
        else:
            return connection
        return self.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        connection, self._connection = self._connection, None
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
                self._pool.lost()


def not_opened(plan: Plan, outage: Outage) -> PoolTimeoutError:
    """Return the error for a caller whose time is over while another one opens the pool."""
    options = plan.pool_options
    largest = {"pool_max": options.get("max_size") or options["min_size"]}
    return pool_timeout(plan.name, plan.timeout, largest, outage.failure)


def _probe(plan: Plan) -> None:
    with closing(Connection.connect(made_with=plan.conninfo)) as probe:
        if suspects(plan):
            warn_of_pooler(plan, probe.info.backend_pid, probe.ask(PID))


def _close_all(pools: list[Pool]) -> None:
    """Close pools that nobody can use any more, at the latest when the program ends, when nothing
    is waited for.
    """
    for pool in list(pools):
        pool.close(0)
