"""The handle whose asynchronous blocks borrow from a pool: one for each event loop."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Generator
from contextlib import suppress
from functools import partial
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool, PoolClosed

from pgstrata.connect import lifecycle
from pgstrata.connect.async_connection import AsyncConnection
from pgstrata.connect.async_pool import AsyncPool
from pgstrata.connect.blocks import Enter, Exit
from pgstrata.connect.connection import Connection
from pgstrata.connect.failure import ConnectionFailedError, again, shut_down
from pgstrata.connect.meter import Listener, Meter, Pooled
from pgstrata.connect.outage import Outage
from pgstrata.connect.plan import Plan
from pgstrata.connect.pooled import not_opened
from pgstrata.connect.pooler import PID, suspects, warn_of_pooler
from pgstrata.connect.state import untouched

if TYPE_CHECKING:
    import psycopg
    from typing_extensions import Self

Loop: TypeAlias = asyncio.AbstractEventLoop


class AsyncPoolHandle:
    """Blocks that borrow from the pool of their event loop, which the first of them opens. It may
    be awaited, which opens the pool of this loop.
    """

    connection_type: Literal["async_pool"] = "async_pool"

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.listeners: list[Listener] = []
        self._begin()
        lifecycle.watch(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()  # held while what follows changes
        self._pools: dict[Loop, AsyncPool] = {}  # those that are given out
        self._made: dict[AsyncPool, Loop] = {}  # those that are open, and those still borrowed from
        self._opening: dict[Loop, asyncio.Task[None]] = {}
        self._changes = 0  # how often what was opened came to be given out no more
        self._refuses = threading.Event()
        self.meter = Meter(Pooled(self.plan.name, self.connection_type), self.listeners)
        self._outage = Outage(self.plan.name, self.plan.patience, self.meter)
        self._finalizer = weakref.finalize(self, _close_all, self._made)
        self._finalizer.atexit = False  # at_exit does more

    @property
    def pool(self) -> AsyncConnectionPool[psycopg.AsyncConnection]:
        """The pool of the running loop, psycopg_pool's own, open for as long as this handle lives.
        Raises ``RuntimeError`` before it was opened.
        """
        pool = self._pools.get(asyncio.get_running_loop())
        if pool is None:
            raise RuntimeError(
                "the pool of this event loop is not open yet; await the handle first"
            )
        return pool

    async def open(self) -> AsyncPool:
        """Open the pool of the running loop if it is not open; any number of tasks open one, and
        share one failure.

        The work is a task of its own: when the caller that began it is cancelled, the others still
        get their pool.
        """
        loop = asyncio.get_running_loop()
        while (pool := self._pools.get(loop)) is None:
            if self._refuses.is_set():
                raise shut_down()
            if loop not in self._opening:
                self._forget_closed_loops()
                self._opening[loop] = task = loop.create_task(self._open(loop))
                task.add_done_callback(lambda done: done.cancelled() or done.exception())
            opening = self._opening[loop]
            if not (await asyncio.wait([opening], timeout=self.plan.timeout))[0]:
                raise not_opened(self.plan, self._outage)
            failure = opening.exception()
            if failure is not None:
                raise again(failure) if isinstance(failure, ConnectionFailedError) else failure
        return pool

    async def _open(self, loop: Loop) -> None:
        """Try one connection, for the reason that ``PoolHandle.open`` gives. Open a pool, and keep
        it, unless that is not what this handle wants any more.
        """
        try:
            with self._lock:
                plan, outage, before = self.plan, self._outage, self._changes
            await self._try(plan, outage)
            pool = await self._started(plan, outage)
            with self._lock:
                wanted = self._changes == before
                if wanted:
                    self._keep(loop, pool)
            if not wanted:
                await pool.close()
        finally:
            self._opening.pop(loop, None)

    async def _started(self, plan: Plan, outage: Outage) -> AsyncPool:
        pool = AsyncPool(plan, outage)
        await pool.start()
        ends = partial(_forget, weakref.ref(self), weakref.ref(pool))
        pool.ending = lifecycle.when_loop_ends(ends)
        await anext(pool.ending)
        return pool

    def _keep(self, loop: Loop, pool: AsyncPool) -> None:
        self._forget_what_is_over()
        self._pools[loop] = pool
        self._made[pool] = loop

    def _give_up(self) -> dict[AsyncPool, Loop]:
        """Give out what was opened, and what is being opened, no more. Return all there are."""
        self._changes += 1
        self._pools.clear()
        self._forget_what_is_over()
        return dict(self._made)

    def _forget_what_is_over(self) -> None:
        for pool in set(self._made) - set(self.pools()):
            self._made.pop(pool, None)

    async def _try(self, plan: Plan, outage: Outage) -> None:
        """Connect once. A server that is starting or full is waited for."""
        until = monotonic() + plan.timeout
        if outage.turn() and outage.failure is not None:
            raise again(outage.failure)
        while True:
            try:
                await _probe(plan)
            except ConnectionFailedError as error:
                if outage.failed(error) != "busy" or monotonic() > until:
                    raise
            else:
                outage.over()
                return
            while pause := outage.turn():
                await asyncio.sleep(pause)
                if self._refuses.is_set():
                    raise shut_down()

    def _forget_closed_loops(self) -> None:
        for loop in [loop for loop in list(self._opening) if loop.is_closed()]:
            self._opening.pop(loop, None)
        for pool in [pool for pool, loop in list(self._made.items()) if loop.is_closed()]:
            self.forget(pool)

    def forget(self, pool: AsyncPool) -> None:
        """Drop a pool whose event loop ends, or has ended."""
        with self._lock:
            loop = self._made.pop(pool, None)
            if loop is not None and self._pools.get(loop) is pool:
                del self._pools[loop]
        _abandon(pool)

    def connection(self) -> AsyncPoolBlock:
        """Return one block. Entering raises ``ConnectionFailedError`` or ``PoolTimeoutError``."""
        return AsyncPoolBlock(self)

    def __await__(self) -> Generator[Any, None, Self]:
        return self._opened().__await__()

    async def _opened(self) -> Self:
        await self.open()
        return self

    def prepare(self, plan: Plan) -> dict[Loop, AsyncPool]:
        """Return a pool by another plan, for ``replace``, for each loop that has one and runs: not
        for the one that this is called in, which would have to wait for itself. Raises
        ``ConnectionFailedError``.
        """
        loops = list(self._pools)
        if not loops:
            return {}
        Connection.connect(made_with=plan.conninfo).close()
        outage = Outage(plan.name, plan.patience, self.meter)
        pools = {loop: lifecycle.done_in(loop, self._started(plan, outage)) for loop in loops}
        return {loop: pool for loop, pool in pools.items() if pool is not None}

    def discard(self, pools: dict[Loop, AsyncPool]) -> None:
        """Close what was prepared."""
        _close_all({pool: loop for loop, pool in pools.items()})

    def replace(self, plan: Plan, pools: dict[Loop, AsyncPool]) -> None:
        """Go on with another plan. What is borrowed is given back to the old pools; who waits there
        goes over to the new ones, which loops without one open themselves.
        """
        with self._lock:
            closing = self._give_up()
            self.plan = plan
            fresh = Outage(plan.name, plan.patience, self.meter)
            self._outage = next((pool.outage for pool in pools.values()), fresh)
            for loop, pool in pools.items():
                self._keep(loop, pool)
            if self._refuses.is_set():
                closing = self._give_up()
        _close_all(closing)

    async def aclose(self) -> None:
        """Close the pool of the running loop and wait; see to it that those of other loops are
        closed.
        """
        here = asyncio.get_running_loop()
        with self._lock:
            closing = self._give_up()
        _close_all({pool: loop for pool, loop in closing.items() if loop is not here})
        for pool in [pool for pool, loop in closing.items() if loop is here]:
            await pool.close()

    def close(self) -> None:
        """See to it that all pools are closed: by their own loops where these run, at once where
        they do not.
        """
        with self._lock:
            closing = self._give_up()
        _close_all(closing)

    def refuse(self) -> None:
        """Give out no connections any more. What is borrowed may be used until ``close``."""
        with self._lock:
            self._refuses.set()
            self._give_up()

    def in_use(self) -> int:
        """Return how many connections are borrowed."""
        return sum(len(pool.in_use) for pool in self.pools())

    def borrowed(self) -> list[AsyncConnection]:
        """Return the connections that are borrowed."""
        return [connection for pool in self.pools() for connection in list(pool.in_use)]

    def pools(self) -> list[AsyncPool]:
        """Return the pools that are open, and those that are still borrowed from."""
        return [pool for pool in list(self._made) if pool.in_use or not pool.closed]

    def replaced(self, pool: AsyncPool) -> bool:
        """Tell whether this handle was closed since it gave out the pool."""
        return pool not in self._pools.values()

    def after_fork(self) -> None:
        """Begin anew in a child: its event loops open pools of their own."""
        self._finalizer.detach()
        for pool in self._made:
            lifecycle.inherit(pool, list(pool.in_use))
        self._begin()

    def at_exit(self) -> None:
        """Close all pools. A loop that was left open, but does not run, is run for the last time:
        its workers would end with complaints from Python otherwise.
        """
        for pool, loop in list(self._made.items()):
            if not loop.is_running() and not loop.is_closed():
                loop.run_until_complete(_end_workers(pool))
        self.close()

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
        except PoolClosed:
            if not self._handle.replaced(pool):
                raise
        else:
            return self._connection
        return await self.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is not None or not untouched(self._connection):
                await self._end(self._connection, kind, error, trace)
        finally:
            await self._give_back()

    async def _end(self, connection: AsyncConnection, kind: Any, error: Any, trace: Any) -> None:
        try:
            if kind is not None:
                await connection.__aexit__(kind, error, trace)
            elif not connection.closed:
                await connection.commit()
        finally:
            if connection.closed:
                self._pool.lost()

    async def _give_back(self) -> None:
        """Return the connection to its pool. One that the pool must first roll back is returned by
        a task of its own, as a second cancellation would lose it on the way.
        """
        returning = self._pool.putconn(self._connection)
        if self._connection.pgconn.transaction_status == TransactionStatus.IDLE:
            await returning
        else:
            await asyncio.shield(returning)


async def _probe(plan: Plan) -> None:
    probe = await AsyncConnection.connect(made_with=plan.conninfo)
    try:
        if suspects(plan):
            warn_of_pooler(plan, probe.info.backend_pid, await probe.ask(PID))
    finally:
        await probe.close()


def _close_all(pools: dict[AsyncPool, Loop]) -> None:
    """Close pools: each by its own loop, where that runs. It is not forgotten before that, as the
    loop may end before. What is left of a loop that is gone are the pool's connections.
    """
    for pool, loop in list(pools.items()):
        if not loop.is_running():
            _abandon(pool)
        with suppress(RuntimeError):  # the loop is closed, or closes at this moment
            loop.call_soon_threadsafe(_begin_closing, pool)


def _forget(handle: weakref.ref[AsyncPoolHandle], pool: weakref.ref[AsyncPool]) -> None:
    known, its = handle(), pool()
    if known is not None and its is not None:
        known.forget(its)


def _abandon(pool: AsyncPool) -> None:
    """Close the idle connections of a pool, without awaiting anything: its loop may not run any
    more, or come to an end before a task is done.
    """
    idle = pool._pool  # noqa: SLF001  # psycopg_pool cannot close without a loop
    with suppress(IndexError):  # none is left
        while True:
            idle.popleft().pgconn.finish()


def _begin_closing(pool: AsyncPool) -> None:
    _abandon(pool)
    lifecycle.begin(pool.close()).add_done_callback(lambda _: _abandon(pool))


async def _end_workers(pool: AsyncPool) -> None:
    workers = [*pool._workers, pool._sched_runner]  # noqa: SLF001  # close() waits, and complains
    left = [worker for worker in workers if worker is not None and worker.cancel()]
    if left:
        await asyncio.wait(left, timeout=1)
