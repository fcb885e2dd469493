# ruff: noqa: PT012  # what a block does with an exception is what these tests are about
from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from math import inf
from typing import Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool, ConnectionPool, PoolClosed, TooManyRequests
from tests.connect.conftest import TYPES, Make, select, settings
from tests.servers import Server

from pgstrata import (
    AsyncHandle,
    AsyncPoolHandle,
    NormalHandle,
    PGConnectionManager,
    PoolHandle,
    PoolTimeoutError,
)
from pgstrata.connect.async_pool import AsyncPool

SYNC, ASYNC = ("normal", "pool"), ("async", "async_pool")


class ApplicationError(Exception):
    """An application's own error."""


def sync_handle(manager: PGConnectionManager, kind: str) -> NormalHandle | PoolHandle:
    """Return the handle of a type."""
    return manager.pool() if kind == "pool" else manager.normal()


def async_handle(manager: PGConnectionManager, kind: str) -> AsyncHandle | AsyncPoolHandle:
    """Return the handle of a type."""
    return manager.async_pool() if kind == "async_pool" else manager.async_()


def rows(server: Server, database: str) -> list[int]:
    """Return what was committed."""
    return [n for (n,) in server.sql("SELECT n FROM t ORDER BY n", database)]


def backends(server: Server, database: str) -> int:
    """Return how many connections the server has."""
    query = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}'"
    return int(server.sql(query)[0][0])


def wait_for_backends(server: Server, database: str, expected: int) -> None:
    """Wait until the server has this many connections."""
    deadline = time.monotonic() + 10
    while (found := backends(server, database)) != expected:
        assert time.monotonic() < deadline, f"{found} connections"
        time.sleep(0.02)


@pytest.mark.parametrize("kind", SYNC)
def test_block(manager: PGConnectionManager, server: Server, database: str, kind: str) -> None:
    """A block gives psycopg's connection, commits on success and rolls back on an exception."""
    handle = sync_handle(manager, kind)
    with handle as connection:
        assert isinstance(connection, psycopg.Connection)
        connection.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(ApplicationError), handle as connection:
        connection.execute("INSERT INTO t VALUES (2)")
        raise ApplicationError
    assert rows(server, database) == [1]


@pytest.mark.parametrize("kind", ASYNC)
async def test_async_block(
    manager: PGConnectionManager, server: Server, database: str, kind: str
) -> None:
    """The same, asynchronous; the handle may be awaited first."""
    handle = async_handle(manager, kind)
    async with await handle as connection:
        assert isinstance(connection, psycopg.AsyncConnection)
        await connection.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(ApplicationError):
        async with handle as connection:
            await connection.execute("INSERT INTO t VALUES (2)")
            raise ApplicationError
    assert rows(server, database) == [1]
    await manager.clear_cache_async()


@pytest.mark.parametrize("kind", SYNC)
def test_nested_blocks(
    manager: PGConnectionManager, server: Server, database: str, kind: str
) -> None:
    """Blocks that nest on one handle are independent: the outer one's row survives."""
    handle = sync_handle(manager, kind)
    with handle as outer:
        outer.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(ApplicationError), handle as inner:
            assert inner is not outer
            inner.execute("INSERT INTO t VALUES (2)")
            raise ApplicationError
        with handle as first, handle as second:
            first.execute("INSERT INTO t VALUES (3)")
            second.execute("INSERT INTO t VALUES (4)")
    assert rows(server, database) == [1, 3, 4]


@pytest.mark.parametrize("kind", ASYNC)
async def test_nested_async_blocks(
    manager: PGConnectionManager, server: Server, database: str, kind: str
) -> None:
    """The same, asynchronous."""
    handle = async_handle(manager, kind)
    async with handle as outer:
        await outer.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(ApplicationError):
            async with handle as inner:
                await inner.execute("INSERT INTO t VALUES (2)")
                raise ApplicationError
    assert rows(server, database) == [1]
    await manager.clear_cache_async()


@pytest.mark.parametrize("kind", SYNC)
def test_one_block_is_entered_once(manager: PGConnectionManager, kind: str) -> None:
    """A block has one connection at a time, and may be entered again when it has ended."""
    handle = sync_handle(manager, kind)
    block = handle.connection()
    for _ in range(2):
        with block as connection, pytest.raises(RuntimeError, match="already entered"), block:
            raise AssertionError
        assert connection.closed == (kind == "normal")
        assert handle.in_use() == 0


@pytest.mark.parametrize("kind", ASYNC)
async def test_one_async_block_is_entered_once(manager: PGConnectionManager, kind: str) -> None:
    """The same, asynchronous."""
    handle = async_handle(manager, kind)
    block = handle.connection()
    for _ in range(2):
        async with block as connection:
            with pytest.raises(RuntimeError, match="already entered"):
                await block.__aenter__()
        assert connection.closed == (kind == "async")
        assert handle.in_use() == 0
    await manager.clear_cache_async()


@pytest.mark.parametrize("kind", SYNC)
def test_shared_by_threads(
    manager: PGConnectionManager, server: Server, database: str, kind: str
) -> None:
    """Fifty threads share one handle, and nothing is lost."""
    handle = sync_handle(manager, kind)

    def work(number: int) -> None:
        with handle as connection:
            connection.execute("INSERT INTO t VALUES (%s)", [number])

    with ThreadPoolExecutor(50) as threads:
        list(threads.map(work, range(50)))
    assert rows(server, database) == list(range(50))


@pytest.mark.parametrize(("kind", "tasks"), [("async", 40), ("async_pool", 200)])
async def test_shared_by_tasks(
    manager: PGConnectionManager, server: Server, database: str, kind: str, tasks: int
) -> None:
    """Many tasks share one handle, and nothing is lost."""
    handle = async_handle(manager, kind)

    async def work(number: int) -> None:
        async with handle as connection:
            await connection.execute("INSERT INTO t VALUES (%s)", [number])

    await asyncio.gather(*(work(number) for number in range(tasks)))
    assert rows(server, database) == list(range(tasks))
    await manager.clear_cache_async()


def test_entered_and_left_in_different_threads(
    manager: PGConnectionManager, server: Server, database: str
) -> None:
    """A web framework enters a dependency in one worker thread and leaves it in another."""
    handle, at_once = manager.pool(), threading.Semaphore(4)

    def dependency(number: int) -> Iterator[None]:
        with handle as connection:
            connection.execute("INSERT INTO t VALUES (%s)", [number])
            yield

    with ThreadPoolExecutor(8) as entering, ThreadPoolExecutor(8) as leaving:

        def request(number: int) -> None:
            with at_once:
                generator = dependency(number)
                entering.submit(next, generator).result()
                leaving.submit(next, generator, None).result()

        with ThreadPoolExecutor(200) as requests:
            list(requests.map(request, range(200)))
    assert rows(server, database) == list(range(200))


@pytest.mark.parametrize("kind", SYNC)
def test_exit_stack(manager: PGConnectionManager, server: Server, database: str, kind: str) -> None:
    """Contextlib's stack loads the methods from the class; its blocks are independent too."""
    handle = sync_handle(manager, kind)
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(handle)
        second = stack.enter_context(handle)
        first.execute("INSERT INTO t VALUES (1)")
        second.execute("INSERT INTO t VALUES (2)")
    assert rows(server, database) == [1, 2]


@pytest.mark.parametrize("kind", ASYNC)
async def test_async_exit_stack(
    manager: PGConnectionManager, server: Server, database: str, kind: str
) -> None:
    """The same, asynchronous, and with an exception."""
    handle = async_handle(manager, kind)
    with pytest.raises(ApplicationError):
        async with contextlib.AsyncExitStack() as stack:
            first = await stack.enter_async_context(handle)
            await first.execute("INSERT INTO t VALUES (1)")
            second = await stack.enter_async_context(handle)
            await second.execute("INSERT INTO t VALUES (2)")
            raise ApplicationError
    assert rows(server, database) == []
    await manager.clear_cache_async()


@pytest.mark.parametrize("kind", ["normal", "pool"])
def test_commit_fails(
    manager: PGConnectionManager, server: Server, database: str, kind: str
) -> None:
    """A commit that fails is the block's error, and its connection is closed or given back."""
    server.sql("ALTER TABLE t ADD UNIQUE (n) DEFERRABLE INITIALLY DEFERRED", database)
    handle = sync_handle(manager, kind)
    with pytest.raises(psycopg.errors.UniqueViolation), handle as connection:
        connection.execute("INSERT INTO t VALUES (1), (1)")
    assert connection.closed == (kind == "normal")
    with handle as connection:
        connection.execute("INSERT INTO t VALUES (1)")
    assert rows(server, database) == [1]


@pytest.mark.parametrize("kind", ["async", "async_pool"])
async def test_async_commit_fails(
    manager: PGConnectionManager, server: Server, database: str, kind: str
) -> None:
    """The same, asynchronous."""
    server.sql("ALTER TABLE t ADD UNIQUE (n) DEFERRABLE INITIALLY DEFERRED", database)
    handle = async_handle(manager, kind)
    with pytest.raises(psycopg.errors.UniqueViolation):
        async with handle as connection:
            await connection.execute("INSERT INTO t VALUES (1), (1)")
    assert connection.closed == (kind == "async")
    await manager.clear_cache_async()


@pytest.mark.parametrize("kind", TYPES)
async def test_rollback_fails(manager: PGConnectionManager, kind: str) -> None:
    """The application's exception is never replaced by that of the rollback."""
    kill = "SELECT pg_terminate_backend(pg_backend_pid())"
    handle = manager.get_database_connection(connection_type=kind)
    with pytest.raises(ApplicationError):
        if isinstance(handle, AsyncHandle | AsyncPoolHandle):
            async with handle as connection:
                with pytest.raises(psycopg.OperationalError):
                    await connection.execute(kill)
                raise ApplicationError
        with handle as plain:
            with pytest.raises(psycopg.OperationalError):
                plain.execute(kill)
            raise ApplicationError
    assert await select(handle) == 1
    await manager.clear_cache_async()


async def storm(tasks: list[asyncio.Task[None]], moments: random.Random) -> None:
    """Cancel tasks at every moment, some of them twice."""
    for number, task in enumerate(moments.sample(tasks, len(tasks))):
        await asyncio.sleep(moments.random() * 0.001)
        task.cancel()
        if number % 2:
            await asyncio.sleep(0)
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def lock_often(pool: Any) -> None:
    """Hold the pool's lock every other moment, as a crowd of borrowers does."""
    while True:
        async with pool._lock:
            await asyncio.sleep(0)
        await asyncio.sleep(0)


@pytest.mark.parametrize("seconds", ["0", "0.01"])
@pytest.mark.parametrize("changes", [False, True])
async def test_cancellation_storm(
    manager: PGConnectionManager, server: Server, database: str, seconds: str, *, changes: bool
) -> None:
    """Tasks cancelled at every moment, twice, leave the pool as it was: also while they give back
    what they changed, and while others have its lock.
    """
    handle = await manager.async_pool()
    moments = random.Random(1)

    async def work() -> None:
        async with handle as connection:
            if changes:
                await connection.set_autocommit(True)
            await connection.execute(f"SELECT pg_sleep({seconds})".encode())

    busy = asyncio.create_task(lock_often(handle.pool))
    for _ in range(5):
        await storm([asyncio.create_task(work()) for _ in range(40)], moments)
    busy.cancel()
    async with contextlib.AsyncExitStack() as stack:  # all four can be had at once
        for _ in range(4):
            connection = await stack.enter_async_context(handle)
            assert not connection.autocommit
        assert handle.pool.get_stats()["pool_size"] == 4
    assert backends(server, database) == 4
    await manager.clear_cache_async()
    wait_for_backends(server, database, 0)


async def smallest(make: Make, server: Server) -> tuple[AsyncPoolHandle, AsyncPool]:
    """Return a handle with a pool of one connection, open and full."""
    sizes = {"min_size": 1, "max_size": 1, "timeout": 5}
    handle = make(settings(server), async_pool_settings=sizes).async_pool()
    pool = await handle.open()
    await pool.wait()
    return handle, pool


async def until(true: Callable[[], object]) -> None:
    """Wait for something that psycopg_pool tells nobody."""
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0)


async def cancelled_at_the_lock(task: asyncio.Task[Any], handle: Any, pool: Any) -> None:
    """Cancel what waits for a pool's lock; its only connection can be borrowed again."""
    await until(lambda: pool._lock._waiters)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    pool._lock.release()
    assert await select(handle) == 1
    await handle.aclose()


@pytest.mark.parametrize("by_pool", [False, True])
@pytest.mark.parametrize("changes", [False, True])
async def test_cancelled_while_giving_back(
    make: Make, server: Server, *, by_pool: bool, changes: bool
) -> None:
    """A connection goes back although its borrower is cancelled while another task holds the pool's
    lock.
    """
    handle, pool = await smallest(make, server)

    async def work() -> None:
        async with pool.connection() if by_pool else handle as connection:
            if changes:
                connection.row_factory = psycopg.rows.dict_row
            await pool._lock.acquire()

    task = asyncio.create_task(work())
    await cancelled_at_the_lock(task, handle, pool)


async def test_cancelled_while_one_is_replaced(make: Make, server: Server) -> None:
    """A connection that was found dead is replaced although the borrower who found it is cancelled
    while another task holds the pool's lock.
    """
    handle, pool = await smallest(make, server)
    pid = await select(handle, "SELECT pg_backend_pid()")
    server.sql(f"SELECT pg_terminate_backend({pid}, 5000)")
    pool._pool[0].state.used_at = -inf
    task = asyncio.create_task(pool.getconn())
    await until(lambda: not pool._pool)
    await pool._lock.acquire()
    await cancelled_at_the_lock(task, handle, pool)


async def test_cancelled_single_connections(
    manager: PGConnectionManager, server: Server, database: str
) -> None:
    """Connecting, working and committing may be cancelled, and leave no connection behind."""

    async def work() -> None:
        async with manager.async_() as connection:
            await connection.execute("SELECT pg_sleep(0.01)")

    tasks = [asyncio.create_task(work()) for _ in range(30)]
    for task in tasks:
        await asyncio.sleep(0.001)
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    gc.collect()
    wait_for_backends(server, database, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="a signal cannot be sent to oneself")
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("by_pool", [False, True])
def test_interrupted_while_waiting(
    make: Make, server: Server, database: str, error: type[BaseException], *, by_pool: bool
) -> None:
    """Ctrl-C, or the end of the program, in the queue for a connection leaves the queue: no
    connection is lost to it.
    """
    manager = make(settings(server, database), pool_settings={"min_size": 1, "max_size": 1})
    handle = manager.pool()

    def interrupt() -> None:
        while not handle.pool.get_stats().get("requests_waiting"):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    def handler(*_: object) -> None:
        raise error

    before = signal.signal(signal.SIGTERM, handler)
    with handle:
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(error), handle.pool.connection() if by_pool else handle:
            raise AssertionError
        thread.join()
    signal.signal(signal.SIGTERM, before)
    with handle as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_interrupted_block(make: Make, server: Server, database: str) -> None:
    """Ctrl-C in a block rolls back and gives the connection back."""
    server.sql("CREATE TABLE t (n int)", database)
    handle = make(settings(server, database), pool_settings={"min_size": 1, "max_size": 1}).pool()
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt), handle as connection:
            connection.execute("INSERT INTO t VALUES (1)")
            raise KeyboardInterrupt
    stats = handle.pool.get_stats()
    assert stats["pool_available"] == stats["pool_size"] == 1
    assert rows(server, database) == []


def test_pool_that_is_closed_meanwhile(manager: PGConnectionManager) -> None:
    """A block that meets the pool's end opens the next one; one in use closes its connection."""
    handle = manager.pool()
    with handle as held:
        first = handle.pool
        handle.close()
        with handle as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert handle.pool is not first
    assert held.closed
    handle.pool.close()  # the pool's owner is the handle, and did not close it
    with pytest.raises(PoolClosed), handle:
        raise AssertionError
    handle.close()


async def test_pools_are_psycopgs_own(manager: PGConnectionManager) -> None:
    """``.pool`` is psycopg_pool's own pool."""
    assert isinstance(manager.pool().pool, ConnectionPool)
    with pytest.raises(RuntimeError, match="await the handle first"):
        _ = manager.async_pool().pool
    assert isinstance((await manager.async_pool()).pool, AsyncConnectionPool)
    await manager.clear_cache_async()


def test_exhausted_pool(make: Make, server: Server) -> None:
    """The error says that the pool was too small, and how its connections are spent."""
    sizes = {"min_size": 1, "max_size": 1, "timeout": 0.1}
    handle = make(settings(server), pool_settings=sizes).pool()
    with handle, pytest.raises(PoolTimeoutError) as caught, handle:
        raise AssertionError
    assert "1 of at most 1 open, 0 idle" in str(caught.value)
    assert "max_size" in caught.value.hint
    assert caught.value.__cause__ is None
    with handle:
        pass


def test_too_many_requests(make: Make, server: Server) -> None:
    """psycopg_pool's own error for a full queue is passed on."""
    sizes = {"min_size": 1, "max_size": 1, "max_waiting": 1, "timeout": 10}
    handle = make(settings(server), pool_settings=sizes).pool()

    def wait() -> None:
        with handle:
            pass

    with handle:
        waiting = threading.Thread(target=wait)
        waiting.start()
        while not handle.pool.get_stats().get("requests_waiting"):
            time.sleep(0.01)
        with pytest.raises(TooManyRequests), handle:
            raise AssertionError
    waiting.join()


@pytest.mark.parametrize("kind", TYPES)
async def test_autocommit(make: Make, server: Server, database: str, kind: str) -> None:
    """``autocommit`` works for all types: no transaction, so nothing is rolled back."""
    server.sql("CREATE TABLE t (n int)", database)
    manager = make(settings(server, database, autocommit=True))
    handle = manager.get_database_connection(connection_type=kind)
    insert = "INSERT INTO t VALUES (1) RETURNING pg_current_xact_id_if_assigned() IS NULL"
    with contextlib.suppress(ApplicationError):
        await select(handle, insert)
        raise ApplicationError
    assert await select(handle, "SELECT count(*) FROM t") == 1
    await manager.clear_cache_async()


@pytest.mark.parametrize("check", [True, False])
async def test_check_on_checkout(make: Make, server: Server, database: str, check: Any) -> None:
    """With the check, a connection that died in the pool is replaced and not handed out."""
    sizes = {"min_size": 1, "max_size": 1, "check_on_checkout": check}
    manager = make(settings(server, database), pool_settings=sizes, async_pool_settings=sizes)
    for kind in ("pool", "async_pool"):
        handle = manager.get_database_connection(connection_type=kind)
        pid = await select(handle, "SELECT pg_backend_pid()")
        server.sql(f"SELECT pg_terminate_backend({pid}, 5000)")
        if check:
            assert await select(handle) == 1
        else:
            with pytest.raises(psycopg.OperationalError):
                await select(handle)
    await manager.clear_cache_async()
