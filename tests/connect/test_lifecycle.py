"""Forks, shutdowns and reloads."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.connect.conftest import TYPES, Make, select, settings, write
from tests.connect.test_handles import backends, wait_for_backends
from tests.proxy import Proxy
from tests.servers import Server

from pgstrata import ConfigError, ConnectionFailedError, PGConnectionManager, ShutDownError
from pgstrata.connect import lifecycle
from pgstrata.connect.handles import AsyncPoolHandle, PoolHandle

PID = "SELECT pg_backend_pid()"
SLEEP = "SELECT pg_sleep(60)"
LOCK = "SELECT pg_advisory_lock(1) IS NOT NULL"
SIZES = {"min_size": 2, "max_size": 2, "timeout": 20}


def both(server: Server, database: str, **over: Any) -> dict[str, Any]:
    """Return what a file in pgmonkey's format holds, with small pools of both kinds."""
    given = {"connection_settings": settings(server, database, **over)}
    return {**given, "pool_settings": SIZES, "async_pool_settings": SIZES}


def active(server: Server, database: str) -> int:
    """Return how many of the statements below run in a database; a pool has its own too."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND datname = "
    ours = "query ~ 'pg_sleep|pg_advisory_lock'"
    return int(server.sql(f"{query}'{database}' AND {ours}")[0][0])


def wait_until(true: Callable[[], object]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def in_child(work: Callable[[], object]) -> int:
    """Fork, do something in the child, and return its exit code: 0 if it was true."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if work() else 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
# A fork while other threads run is what is tested; Python 3.12 warns of it.
forking = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
# psycopg's C part keeps the interpreter while it is in OpenSSL, so no fork comes in between.
# Without it another thread may hold a lock of OpenSSL, which nobody in the child gives back.
while_others_connect = pytest.mark.skipif(
    psycopg.pq.__impl__ == "python", reason="a fork meets a thread that is within OpenSSL"
)


@forks
@forking
def test_fork(server: Server, database: str) -> None:
    """A child gets connections of its own through what it inherits; the parent's live on."""
    manager = PGConnectionManager()
    handle = manager.get_database_connection_from_dict(both(server, database), "pool")
    with handle as connection:
        parents = connection.info.backend_pid

    def child() -> bool:
        with handle as inherited:
            row = inherited.execute("SELECT pg_backend_pid()").fetchone()
            other = row is not None and row[0] != parents
        manager.clear_cache()
        return other

    assert in_child(child) == 0
    with handle.pool.connection() as one, handle.pool.connection() as two:
        pids = {each.execute(PID).fetchone() for each in (one, two)}
    assert (parents,) in pids
    manager.clear_cache()
    wait_for_backends(server, database, 0)


@forks
@forking
@pytest.mark.parametrize("kind", ["normal", "pool"])
def test_fork_in_a_block(server: Server, database: str, kind: str) -> None:
    """A connection that was borrowed before the fork is closed to the child, and not disturbed."""
    manager = PGConnectionManager()
    handle: Any = manager.get_database_connection_from_dict(both(server, database), kind)

    with handle as connection:
        connection.execute("CREATE TEMP TABLE t ON COMMIT DROP AS SELECT 1 AS n")

        def child() -> bool:
            with pytest.raises(psycopg.OperationalError), handle.connection():
                connection.execute("SELECT 1")
            return connection.closed and connection.info is not None

        assert in_child(child) == 0
        assert connection.execute("SELECT n FROM t").fetchone() == (1,)
    manager.clear_cache()


@forks
@forking
def test_fork_with_own_connections(make: Make, server: Server, database: str) -> None:
    """A connection that the program itself closes is closed to the child, and not disturbed."""
    manager = make(settings(server, database))
    with manager.connect() as connection:
        connection.execute("CREATE TEMP TABLE t ON COMMIT DROP AS SELECT 1 AS n")
        assert in_child(lambda: connection.closed) == 0
        assert connection.execute("SELECT n FROM t").fetchone() == (1,)


@forks
@forking
@while_others_connect
def test_fork_under_load(server: Server, database: str) -> None:
    """Children that are forked while threads work get right rows, and cost the parent none."""
    manager = PGConnectionManager()
    handle = manager.get_database_connection_from_dict(both(server, database), "pool")
    ending, wrong = threading.Event(), []

    def work(number: int) -> None:
        while not ending.is_set():
            with handle as connection:
                if connection.execute("SELECT %s::int", [number]).fetchone() != (number,):
                    wrong.append(number)

    def child() -> bool:
        rows = []
        for number in range(100, 110):
            with handle as connection:
                rows.append(connection.execute("SELECT %s::int", [number]).fetchone())
        return rows == [(number,) for number in range(100, 110)]

    with ThreadPoolExecutor(4) as threads:
        workers = [threads.submit(work, number) for number in range(4)]
        try:
            codes = [in_child(child) for _ in range(8)]
        finally:
            ending.set()
        for worker in workers:
            worker.result()
    assert (codes, wrong) == ([0] * 8, [])
    manager.clear_cache()


@forks
@forking
@while_others_connect
def test_fork_and_event_loops(server: Server, database: str) -> None:
    """The pools of a parent's event loops are not the child's either."""
    manager = PGConnectionManager()
    handle = manager.get_database_connection_from_dict(both(server, database), "async_pool")
    loop = asyncio.new_event_loop()
    first = loop.run_until_complete(select(handle, PID))
    assert in_child(lambda: asyncio.run(select(handle, PID)) != first) == 0
    assert loop.run_until_complete(select(handle)) == 1
    loop.run_until_complete(manager.clear_cache_async())
    loop.close()
    wait_for_backends(server, database, 0)


@pytest.mark.parametrize("kind", TYPES)
async def test_shutdown(server: Server, database: str, kind: str) -> None:
    """What is in use is waited for, new work is refused, and nothing stays open."""
    manager = PGConnectionManager()
    handle = manager.get_database_connection_from_dict(both(server, database), kind)
    assert await select(handle) == 1
    with psycopg.connect(**server.keywords(dbname=database), autocommit=True) as holder:
        holder.execute(LOCK.encode())
        working = asyncio.create_task(
            select(handle, LOCK)
            if kind.startswith("async")
            else asyncio.to_thread(asyncio.run, select(handle, LOCK))
        )
        await asyncio.to_thread(wait_until, lambda: active(server, database))
        ending = asyncio.create_task(manager.shutdown_async(60))
        await asyncio.sleep(0)
        with pytest.raises(ShutDownError, match="was shut down"):
            await select(handle)
    await ending
    assert await working is True
    with pytest.raises(ShutDownError):
        manager.get_database_connection_from_dict(both(server, database), kind)
    await asyncio.to_thread(wait_for_backends, server, database, 0)


@pytest.mark.parametrize("kind", TYPES)
def test_shutdown_cancels(server: Server, database: str, kind: str) -> None:
    """What still runs when the grace is over is cancelled on the server, and its caller told."""
    manager = PGConnectionManager()
    handle = manager.get_database_connection_from_dict(both(server, database), kind)
    with ThreadPoolExecutor(1) as threads:
        working = threads.submit(lambda: asyncio.run(select(handle, SLEEP)))
        wait_until(lambda: active(server, database))
        manager.shutdown(grace=0)
        with pytest.raises(psycopg.errors.QueryCanceled):
            working.result(timeout=30)
    wait_for_backends(server, database, 0)


@contextlib.contextmanager
def asleep(handle: Any, server: Server, database: str) -> Iterator[Future[Any]]:
    """Run a query that does not end by itself in a block of another thread."""
    with ThreadPoolExecutor(1) as threads:
        working = threads.submit(lambda: asyncio.run(select(handle, SLEEP)))
        try:
            wait_until(lambda: active(server, database))
            yield working
        finally:
            server.sql(
                "SELECT pg_cancel_backend(pid) FROM pg_stat_activity "
                f"WHERE state = 'active' AND datname = '{database}'"
            )


@pytest.mark.parametrize("kind", ["pool", "async_pool"])
@pytest.mark.parametrize("how", ["reload", "clear_cache"])
def test_shutdown_after(server: Server, database: str, tmp_path: Path, kind: str, how: str) -> None:
    """A pool that was replaced or closed while it was borrowed from is part of the end too: what
    runs there is cancelled, and a handle that is still held gives out nothing.
    """
    path = write(tmp_path / "one.yaml", both(server, database, application_name="before"))
    manager = PGConnectionManager()
    handle: Any = manager.get_database_connection(path, kind)
    with asleep(handle, server, database) as working:
        if how == "reload":
            write(path, both(server, database, application_name="after"))
            manager.reload()
        else:
            manager.clear_cache()
        assert handle.in_use() == 1
        manager.shutdown(grace=0)
        with pytest.raises(psycopg.errors.QueryCanceled):
            working.result(timeout=30)
    with pytest.raises(ShutDownError):
        asyncio.run(select(handle))
    wait_for_backends(server, database, 0)


@forks
@forking
def test_fork_in_a_block_of_a_closed_pool(server: Server, database: str) -> None:
    """A child is kept from what its parent borrowed also when the pool was closed since."""
    manager = PGConnectionManager()
    handle = manager.get_database_connection_from_dict(both(server, database), "pool")
    with handle as connection:
        handle.close()
        assert in_child(lambda: connection.closed) == 0
        assert connection.execute("SELECT 1").fetchone() == (1,)
    wait_for_backends(server, database, 0)


async def test_shutdown_while_all_threads_work(server: Server, database: str) -> None:
    """What the event loop's own threads wait for is cancelled without one of them."""
    manager = PGConnectionManager()
    handle = manager.get_database_connection_from_dict(both(server, database), "pool")
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as only, ThreadPoolExecutor(1) as another:
        working = loop.run_in_executor(only, asyncio.run, select(handle, SLEEP))
        await loop.run_in_executor(another, wait_until, lambda: active(server, database))
        loop.set_default_executor(only)
        await manager.shutdown_async(grace=0)
        with pytest.raises(psycopg.errors.QueryCanceled):
            await working


def test_loop_ends(server: Server, database: str) -> None:
    """A pool ends with its event loop, though its handle lives on."""
    manager = PGConnectionManager()
    handle = manager.get_database_connection_from_dict(both(server, database), "async_pool")
    assert asyncio.run(select(handle)) == 1
    wait_for_backends(server, database, 0)
    assert asyncio.run(select(handle)) == 1
    manager.clear_cache()


def test_shutdown_while_loop_ends(server: Server, database: str) -> None:
    """A pool is closed, and no task begun, in a loop that only waits for its threads."""
    manager = PGConnectionManager()
    handle: Any = manager.get_database_connection_from_dict(both(server, database), "async_pool")
    blocked, ending = threading.Event(), threading.Event()

    def hold() -> None:
        blocked.set()
        ending.wait(30)

    async def leave_a_thread() -> None:
        await select(handle)
        asyncio.get_running_loop().run_in_executor(None, hold)

    with ThreadPoolExecutor(1) as threads:
        working = threads.submit(asyncio.run, leave_a_thread())
        assert blocked.wait(30)
        wait_until(lambda: not handle.pools())
        manager.shutdown(grace=0)
        ending.set()
        working.result(timeout=30)
    wait_for_backends(server, database, 0)
    assert not lifecycle._running  # a task that nobody would ever finish


@pytest.mark.parametrize("kind", ["pool", "async_pool"])
async def test_shutdown_while_opening(make: Make, server: Server, kind: str) -> None:
    """A server that hangs delays no shutdown; who opened the pool is told when it answers."""
    with Proxy((server.host, server.port)) as proxy:
        proxy.hang()
        manager = make(settings(server, port=proxy.port, connect_timeout=60))
        handle: Any = manager.get_database_connection(connection_type=kind)
        if isinstance(handle, AsyncPoolHandle):
            opening = asyncio.create_task(select(handle))
            await asyncio.to_thread(wait_until, lambda: handle._opening)
        else:
            opening = asyncio.create_task(asyncio.to_thread(asyncio.run, select(handle)))
            await asyncio.to_thread(wait_until, handle._opening.locked)
        await asyncio.wait_for(manager.shutdown_async(0), 30)
        proxy.heal()
        with pytest.raises(ShutDownError):
            await opening


def test_context_manager(make: Make, server: Server, database: str) -> None:
    """The end of the block is a shutdown."""
    with make(settings(server, database)) as manager:
        with manager.pool() as connection:
            connection.execute("SELECT 1")
        handle = manager.pool()
    with pytest.raises(ShutDownError), handle:
        raise AssertionError
    with pytest.raises(ShutDownError):
        manager.normal().connect()
    with pytest.raises(ShutDownError):
        manager.connect()
    wait_for_backends(server, database, 0)


async def test_async_context_manager(make: Make, server: Server, database: str) -> None:
    """The same, asynchronous."""
    async with make(settings(server, database)) as manager:
        assert await select(manager.async_pool()) == 1
        handle = manager.async_pool()
    with pytest.raises(ShutDownError):
        await select(handle)
    wait_for_backends(server, database, 0)


def names(server: Server, database: str) -> set[str]:
    """Return the application names that are connected."""
    query = "SELECT DISTINCT application_name FROM pg_stat_activity WHERE datname = "
    return {name for (name,) in server.sql(f"{query}'{database}'")}


@pytest.mark.parametrize("kind", TYPES)
def test_reload(server: Server, database: str, tmp_path: Path, kind: str) -> None:
    """A handle that is held goes over to the new settings, under load and without an error."""
    path = write(tmp_path / "one.yaml", both(server, database, application_name="before"))
    manager = PGConnectionManager()
    handle = manager.get_database_connection(path, kind)
    ending, done = threading.Event(), []

    async def work() -> None:
        while not ending.is_set():
            done.append(await select(handle, "SELECT current_setting('application_name')"))
        if isinstance(handle, AsyncPoolHandle):
            await handle.aclose()

    with ThreadPoolExecutor(4) as threads:
        workers = [threads.submit(lambda: asyncio.run(work())) for _ in range(4)]
        try:
            wait_until(lambda: len(done) > 20)
            write(path, both(server, database, application_name="after"))
            manager.reload()
            wait_until(lambda: done[-20:] == ["after"] * 20)
        finally:
            ending.set()
        for worker in workers:
            worker.result(timeout=30)
    assert set(done) == {"before", "after"}
    assert manager.get_database_connection(path, kind) is handle
    assert names(server, database) <= {"after"}
    manager.clear_cache()
    wait_for_backends(server, database, 0)


def test_reload_of_an_environment(make: Make, server: Server, database: str) -> None:
    """Only what changed is replaced."""
    manager = make(settings(server, database), connections={"other": {}})
    with manager.pool(), manager.pool("other"):
        pool, other = manager.pool().pool, manager.pool("other").pool
    own = {"connections": {"other": {"connection_settings": {"application_name": "changed"}}}}
    write(manager.config.project / "environments" / "test.yaml", own)
    manager.reload()
    assert manager.pool().pool is pool
    assert manager.pool("other").pool is not other
    assert other.closed
    with manager.pool("other") as connection:
        assert connection.info.parameter_status("application_name") == "changed"


@pytest.mark.parametrize(
    ("change", "error"),
    [({"password": "wrong"}, ConnectionFailedError), ({"prot": 1}, ConfigError)],
)
def test_reload_fails(server: Server, tmp_path: Path, change: Any, error: type[Exception]) -> None:
    """New settings that do not load or do not connect change nothing."""
    data = both(server, "postgres")
    path = write(tmp_path / "one.yaml", data)
    manager = PGConnectionManager()
    handle = manager.get_database_connection(path, "pool")
    pool = handle.pool
    write(path, {**data, "connection_settings": {**data["connection_settings"], **change}})
    with pytest.raises(error):
        manager.reload()
    assert handle.pool is pool
    with handle as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    manager.clear_cache()


@contextlib.contextmanager
def opening(handle: Any, proxy: Proxy) -> Iterator[Future[Any]]:
    """Open a pool in another thread, which takes until the end of the block."""
    proxy.hang()
    ask = "SELECT current_setting('application_name')"

    def work() -> Any:
        return asyncio.run(select(handle, ask))

    with ThreadPoolExecutor(1) as threads:
        working = threads.submit(work)
        is_opening = getattr(handle._opening, "locked", lambda: handle._opening)
        wait_until(is_opening)
        yield working
        proxy.heal()
        working.result(timeout=30)


@pytest.mark.parametrize("kind", ["pool", "async_pool"])
def test_reload_while_opening(server: Server, tmp_path: Path, kind: str) -> None:
    """A pool that is opened by the old settings when the new ones come is not kept."""
    with Proxy((server.host, server.port)) as proxy:
        over = {"port": proxy.port, "connect_timeout": 60}
        path = write(tmp_path / "one.yaml", both(server, "postgres", **over))
        manager = PGConnectionManager()
        handle = manager.get_database_connection(path, kind)
        with opening(handle, proxy) as working:
            write(path, both(server, "postgres", application_name="after", **over))
            manager.reload()
        assert working.result() == "after"
        manager.clear_cache()


@pytest.mark.parametrize("kind", ["pool", "async_pool"])
def test_close_while_opening(server: Server, database: str, kind: str) -> None:
    """A pool whose handle is closed before it is open is closed too, and its caller has another."""
    with Proxy((server.host, server.port)) as proxy:
        over = {"port": proxy.port, "connect_timeout": 60}
        manager = PGConnectionManager()
        data = both(server, database, **over)
        handle: Any = manager.get_database_connection_from_dict(data, kind)
        with opening(handle, proxy):
            handle.close()
        handle.close()
        wait_for_backends(server, database, 0)


async def test_aclose_while_nobody_waits(server: Server, database: str) -> None:
    """An opening that its caller gave up, and whose handle is closed, leaves no pool behind."""
    with Proxy((server.host, server.port)) as proxy:
        proxy.hang()
        data = both(server, database, port=proxy.port, connect_timeout=60)
        handle = PGConnectionManager().get_database_connection_from_dict(data, "async_pool")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(handle.open(), 0.1)
        (task,) = handle._opening.values()
        await handle.aclose()
        proxy.heal()
        await task
        assert handle.pools() == []
    await asyncio.to_thread(wait_for_backends, server, database, 0)


async def test_reload_opens_before_it_closes(server: Server, tmp_path: Path) -> None:
    """A running event loop has its new pool before the old one is closed."""
    path = write(tmp_path / "one.yaml", both(server, "postgres"))
    manager = PGConnectionManager()
    handle = manager.get_database_connection(path, "async_pool")
    old = await handle.open()
    write(path, both(server, "postgres", application_name="after"))
    await asyncio.to_thread(manager.reload)
    new = handle.pool  # which none would be
    assert new is not old
    assert await select(handle, "SELECT current_setting('application_name')") == "after"
    await manager.clear_cache_async()


@pytest.mark.parametrize("kind", ["pool", "async_pool"])
async def test_reload_after_shutdown(server: Server, database: str, kind: str) -> None:
    """A handle that was refused meanwhile keeps nothing of what was prepared for it."""
    manager = PGConnectionManager()
    handle: Any = manager.get_database_connection_from_dict(both(server, database), kind)
    assert await select(handle) == 1
    prepared = await asyncio.to_thread(handle.prepare, handle.plan)
    assert prepared
    await manager.shutdown_async(0)
    handle.replace(handle.plan, prepared)
    await asyncio.to_thread(wait_for_backends, server, database, 0)
    with pytest.raises(ShutDownError):
        await select(handle)


def named(server: Server, *databases: str) -> dict[str, Any]:
    """Return connections a, b, ... that lead to these databases."""
    targets = {name: settings(server, each) for name, each in zip("abc", databases, strict=False)}
    return {name: {"connection_settings": target} for name, target in targets.items()}


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("same", [True, False])
async def test_reload_keeps_connections_apart(
    make: Make, server: Server, database: str, kind: str, *, same: bool
) -> None:
    """Handles follow the settings of their own connections: when two change places, and when two
    that led to the same place do so no longer.
    """
    before = (database, database) if same else (database, "postgres")
    manager = make({}, connections=named(server, *before))
    held = [manager.get_database_connection(connection_type=kind, connection=n) for n in "ab"]
    query = "SELECT current_database()"
    assert [await select(handle, query) for handle in held] == list(before)
    folder = manager.config.project / "environments"
    write(folder / "base.yaml", {"connections": named(server, "postgres", database)})
    await asyncio.to_thread(manager.reload)
    assert [await select(handle, query) for handle in held] == ["postgres", database]
    again = [manager.get_database_connection(connection_type=kind, connection=n) for n in "ab"]
    assert again == held
    await manager.clear_cache_async()


def test_reload_splits_what_is_shared(server: Server, database: str, tmp_path: Path) -> None:
    """A handle that another file still leads to stays; whoever asks by the changed one gets a new
    one.
    """
    one, two = (write(tmp_path / f"{n}.yaml", both(server, database)) for n in range(2))
    manager = PGConnectionManager()
    handle = manager.get_database_connection(one, "pool")
    assert manager.get_database_connection(two, "pool") is handle
    pool = handle.pool
    write(one, both(server, database, application_name="changed"))
    manager.reload()
    assert handle.pool is pool
    assert manager.get_database_connection(two, "pool") is handle
    assert manager.get_database_connection(one, "pool") is not handle
    manager.clear_cache()


@pytest.mark.slow
def test_1000_threads_get_one_pool(server: Server, database: str) -> None:
    """A thousand threads that ask at once get one pool, and no more connections than it may have.

    The queue is as long as the threads are many, and its default admits them.
    """
    manager = PGConnectionManager()
    barrier = threading.Barrier(1000)

    def ask(_: int) -> Any:
        barrier.wait()
        handle = manager.get_database_connection_from_dict(both(server, database), "pool")
        with handle as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        return handle.pool

    with ThreadPoolExecutor(1000) as threads:
        assert len(set(threads.map(ask, range(1000)))) == 1
    assert backends(server, database) == 2
    manager.clear_cache()


def test_last_reference(server: Server, database: str) -> None:
    """A pool handle alone, without its manager, still works."""
    handle = PGConnectionManager().get_database_connection_from_dict(both(server, database), "pool")
    assert isinstance(handle, PoolHandle)
    with handle as connection:
        connection.execute("SELECT 1")
    handle.close()
