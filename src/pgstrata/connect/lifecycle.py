"""What happens to everything that is open when the process forks or ends, and how a query that
nobody waits for any more is stopped.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from time import monotonic
from typing import Any, Protocol

import psycopg
from psycopg import pq

from pgstrata.connect.connection import AsyncConnection, Connection

CANCEL_SECONDS = 1.0  # for all queries of a pool together


class Alive(Protocol):
    """What must hear of a fork and of the program's end."""

    def after_fork(self) -> None:
        """Forget, in the child, what belongs to the parent."""

    def at_exit(self) -> None:
        """Close what is open; nothing of it is used any more."""


_alive: weakref.WeakSet[Any] = weakref.WeakSet()
_inherited: list[object] = []


def watch(thing: Alive) -> None:
    """Tell a thing of each fork, and of the program's end, for as long as it lives."""
    _alive.add(thing)


def inherit(pool: Any, connections: Iterable[psycopg.Connection | psycopg.AsyncConnection]) -> None:
    """Make a parent's pool, if there is one, and its borrowed connections unusable in a child.

    Nothing is closed, as that would end the parent's sessions, and all is kept: its destruction
    would wait for threads that are not here, and for locks that nobody here holds.
    """
    if pool is not None:
        pool._closed = True  # noqa: SLF001  # close() would speak to the server
    for connection in connections:
        _inherited.append(connection.pgconn)
        connection.pgconn = _closed_pgconn()
    _inherited.append(pool)


def _closed_pgconn() -> pq.abc.PGconn:
    pgconn = pq.PGconn.connect_start(b"host=/nonexistent")
    pgconn.finish()
    return pgconn


def cancel(connections: Iterable[Connection]) -> None:
    """Cancel what runs on these connections, as far as that is possible in a short time."""
    until = monotonic() + CANCEL_SECONDS
    for connection in connections:
        connection.stop(until - monotonic())


_running: set[asyncio.Task[None]] = set()  # a loop keeps its tasks weakly


def begin(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Do this in the running event loop, some time."""
    task = asyncio.get_running_loop().create_task(work)
    _running.add(task)
    task.add_done_callback(_running.discard)
    return task


async def when_loop_ends(work: Callable[[], None]) -> AsyncGenerator[None, None]:
    """Yield once; do the work when the running event loop ends, however it comes to that.

    ``asyncio.run`` cancels the tasks of its loop, then closes its asynchronous generators, and
    only then runs what is left of other threads' calls: a task that these begin never gets done.
    """
    try:
        yield
    finally:
        work()


async def cancel_async(connections: Iterable[AsyncConnection]) -> None:
    """Cancel what runs on these connections of the running loop."""
    attempts = [
        connection.cancel_safe(timeout=CANCEL_SECONDS)
        for connection in connections
        if connection.pgconn.transaction_status == pq.TransactionStatus.ACTIVE
    ]
    await asyncio.gather(*attempts, return_exceptions=True)


def _after_fork() -> None:
    for thing in list(_alive):
        thing.after_fork()


@atexit.register
def _at_exit() -> None:
    for thing in list(_alive):
        thing.at_exit()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)
