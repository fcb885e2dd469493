"""``Pool`` for event loops. What does no I/O is shared with it; see there for the reasons."""

from __future__ import annotations

import threading
import weakref
from collections.abc import AsyncIterator
from time import monotonic
from typing import Any

from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from pgstrata.connect.async_connection import AsyncConnection
from pgstrata.connect.conninfo import Conninfo
from pgstrata.connect.failure import again
from pgstrata.connect.leaks import AsyncLeakWatch, Leaks, Loan, async_holder
from pgstrata.connect.meter import QUICK
from pgstrata.connect.outage import Outage
from pgstrata.connect.plan import Plan
from pgstrata.connect.pool import TRUSTED, timed_out
from pgstrata.connect.state import changed, idle
from pgstrata.connect.unbroken import unbroken, unbroken_if_it_waits
from pgstrata.connect.upkeep import AsyncUpkeep, period

CLOSING = 0.9  # seconds to wait for the workers


class AsyncPool(AsyncConnectionPool[Any]):
    """A pool that tests what idled, and replaces all when one is found dead or on a server that
    turned read-only.

    ``in_use`` has what is borrowed, since when, and by whom if ``leaks`` wants to know; ``outage``
    the state of the attempts to connect; ``stopping`` is set when the pool is closed; ``ending`` is
    what hears of the end of the event loop.
    """

    def __init__(self, plan: Plan, outage: Outage) -> None:
        self.made_with = plan.conninfo
        self.outage = outage
        self.meter = outage.meter
        self._wait, self._use = outage.meter.wait, outage.meter.use
        self.stopping = threading.Event()  # only asked, so that it belongs to no event loop
        self.in_use: dict[AsyncConnection, Loan] = {}
        threshold = plan.leak_threshold
        self.leaks = Leaks(plan.name, threshold) if threshold else None
        self.secrets: Conninfo | None = None
        self.ending: AsyncIterator[None] | None = None
        self._trusted = -1.0 if plan.check else TRUSTED
        self._drained = 0.0
        super().__init__(
            connection_class=AsyncConnection,
            kwargs={"made_with": plan.conninfo, "home": weakref.ref(self)},
            open=False,
            reconnect_timeout=0,  # AsyncConnection.connect itself goes on trying
            reconnect_failed=_gave_up,
            **plan.pool_options,
        )

    async def start(self) -> None:
        """Open the pool, and begin its upkeep."""
        await self.open()
        await self.schedule_task(AsyncUpkeep(self), period(self.max_lifetime))
        if self.leaks is not None:
            await self.schedule_task(AsyncLeakWatch(self), self.leaks.period)

    async def getconn(self, timeout: float | None = None) -> AsyncConnection:
        """Borrow a connection. One that idled is tested first."""
        began = monotonic()
        try:
            connection: AsyncConnection = await AsyncConnectionPool.getconn(self, timeout)
            now = monotonic()
            if now - connection.state.used_at > self._trusted:
                connection = await self._tested(connection, now + (timeout or self.timeout))
                now = monotonic()
        except PoolTimeout:
            self.meter.count("timeout")
            late = timed_out(self, timeout)
            raise late from late.__cause__
        except TooManyRequests:
            self.meter.count("full")
            raise
        self.in_use[connection] = (now, None if self.leaks is None else async_holder())
        wait = self._wait
        waited = now - began
        wait.seconds += waited
        if waited <= QUICK and not wait.listeners:
            wait.quick += 1
        else:
            wait.add(waited)
        return connection

    async def putconn(self, connection: AsyncConnection) -> None:
        """Give a connection back, as it was made."""
        now = monotonic()
        loan = self.in_use.pop(connection, (now, None))
        held = now - loan[0]
        use = self._use
        use.seconds += held
        if held <= QUICK and not use.listeners:
            use.quick += 1
        else:
            use.add(held)
        if self.leaks is not None and self.leaks.reported:
            self.leaks.returned(connection, loan)
        connection.state.used_at = now
        if changed(connection) or not idle(connection):
            await unbroken(self._returned(connection))
        else:
            await unbroken_if_it_waits(AsyncConnectionPool.putconn(self, connection))

    async def _returned(self, connection: AsyncConnection) -> None:
        if changed(connection):
            if connection.state.misplaced:
                await self.drain_once(connection)
            await connection.restore()
        await AsyncConnectionPool.putconn(self, connection)

    async def _tested(self, connection: AsyncConnection, until: float) -> AsyncConnection:
        """Return this connection if it lives, or another one that does."""
        while await self._is_dead(connection):
            await unbroken(self._replaced(connection))
            connection = await super().getconn(max(until - monotonic(), 0.001))
            if monotonic() - connection.state.used_at <= TRUSTED:
                break
        return connection

    async def _is_dead(self, connection: AsyncConnection) -> bool:
        try:
            return not await connection.answers()
        except BaseException:
            await unbroken(self._returned(connection))
            raise

    async def _replaced(self, connection: AsyncConnection) -> None:
        self.lost()
        await self.drain_once(connection)
        await AsyncConnectionPool.putconn(self, connection)

    def lost(self) -> None:
        """Take note of a connection that broke."""
        self.meter.lost()
        self.outage.doubt()

    async def drain_once(self, connection: AsyncConnection) -> None:
        """Replace all connections, for what was found out about one of them; not again for another
        that is as old.
        """
        if connection.state.made_at > self._drained:
            self._drained = monotonic()
            self.outage.doubt()
            await self.drain()

    async def drain(self) -> None:
        """Replace all connections: idle ones now, borrowed ones as they come back."""
        self.meter.drained(self.get_stats()["pool_size"])
        await super().drain()

    async def saw(self, secrets: Conninfo) -> None:
        """Take note of the secrets that a connection was made with. If they are new, the older
        connections are replaced.
        """
        before, self.secrets = self.secrets, secrets
        if before is not None and before != secrets:
            await self.drain()

    async def close(self, timeout: float = CLOSING) -> None:
        """Close the pool: idle connections now, borrowed ones as they come back."""
        self.stopping.set()
        idle = list(self._pool)
        try:
            await super().close(timeout)
        finally:  # also when the event loop ends meanwhile
            for connection in idle:
                if connection not in self.in_use:
                    connection.pgconn.finish()


async def _gave_up(pool: AsyncConnectionPool[Any]) -> None:
    """Tell those who wait why they get no connection, if none is left that could be given to them.

    psycopg_pool would let them wait until their time is over.
    """
    assert isinstance(pool, AsyncPool)
    failure = pool.outage.failure
    if failure is None or pool.get_stats()["pool_size"]:
        return
    async with pool._lock:  # noqa: SLF001  # there is no public way out of the queue
        waiting = list(pool._waiting)  # noqa: SLF001  # as above
        pool._waiting.clear()  # noqa: SLF001  # as above
    for place in waiting:
        await place.fail(again(failure))
