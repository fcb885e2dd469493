"""What happens to everything that is open when the process forks or ends, and when an event loop
does.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from concurrent.futures import wait
from typing import Any, Protocol, TypeAlias, TypeVar

import psycopg
from psycopg import pq

from pgstrata.connect.async_connection import AsyncConnection
from pgstrata.connect.cancelling import cancel
from pgstrata.connect.connection import Connection

Borrowed: TypeAlias = Connection | AsyncConnection
Made = TypeVar("Made")
Lent = TypeVar("Lent", Connection, AsyncConnection)

QUICK = 5.0  # seconds in which an event loop does what needs no waiting


class Alive(Protocol):
    """What must hear of a fork and of the program's end."""

    def after_fork(self) -> None:
        """Forget, in the child, what belongs to the parent."""

    def borrowed(self) -> Iterable[Borrowed]:
        """Return the connections that are in use."""

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


class _Callers:
    """The connections that their callers close, for as long as these have them."""

    def __init__(self) -> None:
        self.known: set[weakref.ref[Any]] = set()  # of which a copy is made at once, unlike WeakSet

    def borrowed(self) -> list[Borrowed]:
        """Return those that are open."""
        connections = [known() for known in list(self.known)]
        return [each for each in connections if each is not None and not each.closed]

    def after_fork(self) -> None:
        """Leave the parent's connections alone."""
        inherit(None, self.borrowed())
        self.known = set()

    def at_exit(self) -> None:
        """Leave the connections to those who use them."""


_callers = _Callers()
watch(_callers)


def lend(connection: Lent) -> Lent:
    """Give out a connection that its caller closes."""
    known = _callers.known
    known.add(weakref.ref(connection, known.discard))
    return connection


def _closed_pgconn() -> pq.abc.PGconn:
    pgconn = pq.PGconn.connect_start(b"host=/nonexistent")
    pgconn.finish()
    return pgconn


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


def done_in(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Made]) -> Made | None:
    """Return what comes of quick work in the event loop of another thread. Return None, when it is
    not done, where the loop does not run, is busy, or is the one of this thread.
    """
    if loop is _running_loop() or not loop.is_running():
        work.close()
        return None
    try:
        future = asyncio.run_coroutine_threadsafe(work, loop)
    except RuntimeError:  # the loop closes at this moment
        work.close()
        return None
    done, _ = wait([future], QUICK)
    return future.result() if done or not future.cancel() else None


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _after_fork() -> None:
    for thing in list(_alive):
        thing.after_fork()


@atexit.register
def _at_exit() -> None:
    things = list(_alive)
    cancel([connection for thing in things for connection in thing.borrowed()])
    for thing in things:
        thing.at_exit()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)
