"""The end of asynchronous pools, of which each can only be closed by its own event loop."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TypeAlias

from pgstrata.connect import lifecycle
from pgstrata.connect.async_pool import AsyncPool

Loop: TypeAlias = asyncio.AbstractEventLoop


def close_all(pools: dict[AsyncPool, Loop]) -> None:
    """Close pools: each by its own loop, where that runs. It is not forgotten before that, as the
    loop may end before. What is left of a loop that is gone are the pool's connections.
    """
    for pool, loop in list(pools.items()):
        if not loop.is_running():
            abandon(pool)
        with suppress(RuntimeError):  # the loop is closed, or closes at this moment
            loop.call_soon_threadsafe(_begin_closing, pool)


def abandon(pool: AsyncPool) -> None:
    """Close the idle connections of a pool, without awaiting anything: its loop may not run any
    more, or come to an end before a task is done.
    """
    idle = pool._pool  # noqa: SLF001  # psycopg_pool cannot close without a loop
    with suppress(IndexError):  # none is left
        while True:
            idle.popleft().pgconn.finish()


def _begin_closing(pool: AsyncPool) -> None:
    abandon(pool)
    lifecycle.begin(pool.close()).add_done_callback(lambda _: abandon(pool))


async def end_workers(pool: AsyncPool) -> None:
    """Cancel what a pool runs in the background, and wait for that."""
    workers = [*pool._workers, pool._sched_runner]  # noqa: SLF001  # close() waits, and complains
    left = [worker for worker in workers if worker is not None and worker.cancel()]
    if left:
        await asyncio.wait(left, timeout=1)
