"""The handle whose asynchronous blocks borrow from a pool: one for each event loop."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Generator
from functools import partial
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from psycopg_pool import AsyncConnectionPool

from pgstrata.connect import lifecycle
from pgstrata.connect.async_block import AsyncPoolBlock
from pgstrata.connect.async_connection import AsyncConnection
from pgstrata.connect.async_ending import Loop, abandon, close_all, end_workers
from pgstrata.connect.async_pool import AsyncPool
from pgstrata.connect.blocks import Enter, Exit
from pgstrata.connect.connection import Connection
from pgstrata.connect.failure import ConnectionFailedError, again, shut_down
from pgstrata.connect.meter import Listener, Meter, Pooled
from pgstrata.connect.outage import Outage
from pgstrata.connect.plan import Plan
from pgstrata.connect.pooled import not_opened
from pgstrata.connect.pooler import PID, suspects, warn_of_pooler

if TYPE_CHECKING:
    import psycopg
    from typing_extensions import Self


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
        self._finalizer = weakref.finalize(self, close_all, self._made)
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
        abandon(pool)

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
        close_all({pool: loop for loop, pool in pools.items()})

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
        close_all(closing)

    async def aclose(self) -> None:
        """Close the pool of the running loop and wait; see to it that those of other loops are
        closed.
        """
        here = asyncio.get_running_loop()
        with self._lock:
            closing = self._give_up()
        close_all({pool: loop for pool, loop in closing.items() if loop is not here})
        for pool in [pool for pool, loop in closing.items() if loop is here]:
            await pool.close()

    def close(self) -> None:
        """See to it that all pools are closed: by their own loops where these run, at once where
        they do not.
        """
        with self._lock:
            closing = self._give_up()
        close_all(closing)

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
                loop.run_until_complete(end_workers(pool))
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


async def _probe(plan: Plan) -> None:
    probe = await AsyncConnection.connect(made_with=plan.conninfo)
    try:
        if suspects(plan):
            warn_of_pooler(plan, probe.info.backend_pid, await probe.ask(PID))
    finally:
        await probe.close()


def _forget(handle: weakref.ref[AsyncPoolHandle], pool: weakref.ref[AsyncPool]) -> None:
    known, its = handle(), pool()
    if known is not None and its is not None:
        known.forget(its)
