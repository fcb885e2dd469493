"""What a pool's own workers do for it every now and then.

psycopg_pool ends the life of a connection only when it is given back, and never looks at one that
nobody uses: a firewall forgets it, and the next caller finds it dead.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

from psycopg_pool import AsyncConnectionPool, ConnectionPool
from psycopg_pool.pool import MaintenanceTask
from psycopg_pool.pool_async import MaintenanceTask as AsyncMaintenanceTask

from pgstrata.connect.async_connection import AsyncConnection
from pgstrata.connect.connection import Connection
from pgstrata.errors import PgstrataError

if TYPE_CHECKING:
    from pgstrata.connect.async_pool import AsyncPool
    from pgstrata.connect.pool import Pool

PERIOD = 30.0
KEEPALIVE = 120.0  # a connection that was idle for longer is asked whether it lives


def period(max_lifetime: float) -> float:
    """Return how many seconds lie between two rounds: several are in a life that is not short."""
    return max(1.0, min(PERIOD, max_lifetime / 4))


class Upkeep(MaintenanceTask):
    """One round, in a worker of a ``Pool``. The next one is due whatever comes of this one."""

    def _run(self, pool: ConnectionPool[Any]) -> None:
        pool.schedule_task(self, period(pool.max_lifetime))
        _round(pool)  # type: ignore[arg-type]  # the task of no other pool than a Pool


class AsyncUpkeep(AsyncMaintenanceTask):
    """The same for an ``AsyncPool``."""

    async def _run(self, pool: AsyncConnectionPool[Any]) -> None:
        await pool.schedule_task(self, period(pool.max_lifetime))
        await _async_round(pool)  # type: ignore[arg-type]  # as above


def _round(pool: Pool) -> None:
    began = monotonic()
    while True:
        with pool._lock:  # noqa: SLF001  # see _take_due
            connection = _take_due(pool, began)
        if connection is None:
            break
        if not connection.answers():
            pool.drain_once(connection)
        ConnectionPool.putconn(pool, connection)
    _fill(pool)
    with suppress(PgstrataError):  # the pool goes on with the secrets that it has
        if pool.made_with.taken() != pool.secrets:
            renewed = Connection.connect(made_with=pool.made_with)
            renewed.close()
            pool.saw(renewed.state.secrets)


async def _async_round(pool: AsyncPool) -> None:
    began = monotonic()
    while (connection := _take_due(pool, began)) is not None:
        if not await connection.answers():
            await pool.drain_once(connection)
        await AsyncConnectionPool.putconn(pool, connection)
    await _async_fill(pool)
    with suppress(PgstrataError):
        if await asyncio.to_thread(pool.made_with.taken) != pool.secrets:
            renewed = await AsyncConnection.connect(made_with=pool.made_with)
            await renewed.close()
            await pool.saw(renewed.state.secrets)


def _take_due(pool: Any, now: float) -> Any:
    """Take the next idle connection out of the pool that is too old, or was not heard of for long.

    ``getconn`` would count as a use, and a pool whose idle connections are all used now and then
    never shrinks. Whoever gives it back finds out whether it is too old.
    """
    for connection in pool._pool:  # noqa: SLF001  # as said above
        silence = now - connection.state.used_at
        if silence > KEEPALIVE or connection._expire_at <= now:  # noqa: SLF001  # as said above
            pool._pool.remove(connection)  # noqa: SLF001  # as said above
            connection._pool = pool  # noqa: SLF001  # as getconn does before it gives one out
            return connection
    return None


def _fill(pool: Pool) -> None:
    """Have the connections made that were given up while the server refused them."""
    size, least = pool.get_stats()["pool_size"], pool.min_size
    if size < least:
        pool.resize(size, pool.max_size)  # resize adds what its second size has over the first
        pool.resize(least, pool.max_size)


async def _async_fill(pool: AsyncPool) -> None:
    size, least = pool.get_stats()["pool_size"], pool.min_size
    if size < least:
        await pool.resize(size, pool.max_size)
        await pool.resize(least, pool.max_size)
