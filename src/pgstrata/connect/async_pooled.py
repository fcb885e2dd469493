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
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from pgstrata.connect import lifecycle
from pgstrata.connect.async_pool import AsyncPool
from pgstrata.connect.blocks import Enter, Exit
from pgstrata.connect.connection import AsyncConnection, Connection
from pgstrata.connect.failure import ConnectionFailedError, again, pool_timeout, shut_down
from pgstrata.connect.meter import Listener, Meter, Pooled
from pgstrata.connect.outage import Outage
from pgstrata.connect.plan import Plan
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
        self._pools: dict[Loop, AsyncPool] = {}
        self._retired: dict[Loop, AsyncPool] = {}
        self._opening: dict[Loop, asyncio.Task[AsyncPool]] = {}
        self.meter = Meter(Pooled(self.plan.name, self.connection_type), self.listeners)
        self._outage = Outage(self.plan.name, self.plan.patience, self.meter)
        self._refuses = threading.Event()
        self._finalizer = weakref.finalize(self, _close_all, self._pools)
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
        pool = self._pools.get(loop)
        if pool is not None:
            return pool
        if self._refuses.is_set():
            raise shut_down()
        self._forget_closed_loops()
        if loop not in self._opening:
            self._opening[loop] = task = loop.create_task(self._open(loop))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            return await asyncio.shield(self._opening[loop])
        except ConnectionFailedError as error:
            refusal = again(error)
        raise refusal

    async def _open(self, loop: Loop) -> AsyncPool:
        """Try one connection, for the reason that ``PoolHandle.open`` gives, and make the pool."""
        try:
            plan, outage = self.plan, self._outage
            await self._try(plan, outage)
            pool = AsyncPool(plan, outage)
            await pool.start()
            if self._refuses.is_set():  # since the attempt to connect began
                await pool.close()
                raise shut_down()
            pool.ending = lifecycle.when_loop_ends(partial(_forget, weakref.ref(self), loop))
            await anext(pool.ending)
            self._pools[loop] = pool
            return pool
        finally:
            self._opening.pop(loop, None)

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
        for loop in [loop for loop in [*self._pools, *self._opening] if loop.is_closed()]:
            self.forget(loop)

    def forget(self, loop: Loop) -> None:
        """Drop what belongs to an event loop that ends, or has ended."""
        self._opening.pop(loop, None)
        for pools in (self._pools, self._retired):
            if pool := pools.pop(loop, None):
                _abandon(pool)

    def connection(self) -> AsyncPoolBlock:
        """Return one block. Entering raises ``ConnectionFailedError`` or ``PoolTimeoutError``."""
        return AsyncPoolBlock(self)

    def __await__(self) -> Generator[Any, None, Self]:
        return self._opened().__await__()

    async def _opened(self) -> Self:
        await self.open()
        return self

    def prepare(self, plan: Plan) -> None:
        """Try another plan, for ``replace``, if this handle has a pool open. Raises
        ``ConnectionFailedError``. The loops open their pools themselves.
        """
        if self._pools:
            Connection.connect(made_with=plan.conninfo).close()

    def replace(self, plan: Plan, _: object = None) -> None:
        """Go on with another plan. What is borrowed is given back to the old pools; who waits there
        goes over to the new ones.
        """
        self.plan = plan
        self._outage = Outage(plan.name, plan.patience, self.meter)
        self.close()

    async def aclose(self) -> None:
        """Close the pool of the running loop and wait; see to it that those of other loops are
        closed.
        """
        loop = asyncio.get_running_loop()
        pools = [pools.pop(loop, None) for pools in (self._pools, self._retired)]
        self.close()
        for pool in pools:
            if pool is not None:
                await pool.close()

    def close(self) -> None:
        """See to it that all pools are closed: by their own loops where these run, at once where
        they do not.
        """
        _close_all(self._pools)
        _close_all(self._retired)

    def refuse(self) -> None:
        """Give out no connections any more. What is borrowed may be used until ``close``."""
        self._refuses.set()
        while self._pools:
            loop, pool = self._pools.popitem()
            self._retired[loop] = pool

    def in_use(self) -> int:
        """Return how many connections are borrowed."""
        return sum(len(pool.in_use) for pool in self.pools())

    def pools(self) -> list[AsyncPool]:
        """Return the pools of all event loops."""
        return [pool for _, pool in self._all()]

    def cancel(self) -> None:
        """Have what runs on the borrowed connections cancelled by their event loops."""
        for loop, pool in self._all():
            with suppress(RuntimeError):  # the loop is closed, or closes at this moment
                loop.call_soon_threadsafe(_cancel, pool)

    def _all(self) -> list[tuple[Loop, AsyncPool]]:
        return [*self._pools.items(), *self._retired.items()]

    def replaced(self, pool: AsyncPool) -> bool:
        """Tell whether this handle was closed since it gave out the pool."""
        return pool not in self._pools.values()

    def timed_out(self, pool: AsyncPool) -> Exception:
        """Return the error for a caller that got no connection, with the reason as its cause."""
        return pool_timeout(pool.name, pool.timeout, pool.get_stats(), pool.outage.failure)

    def after_fork(self) -> None:
        """Begin anew in a child: its event loops open pools of their own."""
        self._finalizer.detach()
        for _, pool in self._all():
            lifecycle.inherit(pool, list(pool.in_use))
        self._begin()

    def at_exit(self) -> None:
        """Close all pools. A loop that was left open, but does not run, is run for the last time:
        its workers would end with complaints from Python otherwise.
        """
        for loop, pool in self._all():
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
                self._pool.meter.lost()

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
            row = await (await probe.execute(PID)).fetchone()
            warn_of_pooler(plan, probe.info.backend_pid, row)
    finally:
        await probe.close()


def _close_all(pools: dict[Loop, AsyncPool]) -> None:
    """Close and forget all pools. Only its own loop can close a pool, and takes it from here when
    it does, so that it is not forgotten by a loop that ends before; what is left of a loop that is
    gone are the pool's connections.
    """
    for loop in list(pools):
        if loop.is_running():
            with suppress(RuntimeError):  # the loop closes at this moment
                loop.call_soon_threadsafe(_close, pools, loop)
        elif pool := pools.pop(loop, None):
            _abandon(pool)
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(_begin_closing, pool)


def _forget(handle: weakref.ref[AsyncPoolHandle], loop: Loop) -> None:
    if known := handle():
        known.forget(loop)


def _abandon(pool: AsyncPool) -> None:
    """Close the idle connections of a pool, without awaiting anything: its loop may not run any
    more, or come to an end before a task is done.
    """
    idle = pool._pool  # noqa: SLF001  # psycopg_pool cannot close without a loop
    with suppress(IndexError):  # none is left
        while True:
            idle.popleft().pgconn.finish()


def _close(pools: dict[Loop, AsyncPool], loop: Loop) -> None:
    if pool := pools.pop(loop, None):
        _begin_closing(pool)


def _begin_closing(pool: AsyncPool) -> None:
    _abandon(pool)
    lifecycle.begin(pool.close()).add_done_callback(lambda _: _abandon(pool))


def _cancel(pool: AsyncPool) -> None:
    lifecycle.begin(lifecycle.cancel_async(list(pool.in_use)))


async def _end_workers(pool: AsyncPool) -> None:
    workers = [*pool._workers, pool._sched_runner]  # noqa: SLF001  # close() waits, and complains
    left = [worker for worker in workers if worker is not None and worker.cancel()]
    if left:
        await asyncio.wait(left, timeout=1)
