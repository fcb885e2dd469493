from __future__ import annotations

import asyncio
import gc
import json
import os
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.connect.conftest import TYPES, Make, select, settings, write
from tests.connect.test_handles import backends, wait_for_backends
from tests.servers import Server

from pgstrata import (
    ConfigError,
    ConnectionFailedError,
    InvalidConfigError,
    PGConnectionManager,
    UsageError,
)
from pgstrata.connect.handles import AsyncPoolHandle, PoolHandle

SIZES = {"min_size": 2, "max_size": 2}


def content(server: Server, database: str = "postgres", **over: Any) -> dict[str, Any]:
    """Return what a file in pgmonkey's format holds."""
    return {
        "connection_settings": settings(server, database, **over),
        "pool_settings": SIZES,
        "async_pool_settings": SIZES,
    }


def failed_logins(server: Server, role: str) -> int:
    """Return how often the server refused the role."""
    return server.log_text().count(f'password authentication failed for user "{role}"')


def at_once(count: int, work: Any) -> list[Any]:
    """Run ``work`` in that many threads, which start together; return results and errors."""
    barrier = threading.Barrier(count)

    def run(_: int) -> Any:
        barrier.wait()
        try:
            return work()
        except Exception as error:  # noqa: BLE001  # it is the result
            return error

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(run, range(count)))


def test_200_threads_get_one_pool(server: Server, database: str) -> None:
    """Threads that ask at once share one handle and one pool."""
    manager = PGConnectionManager()
    data = content(server, database)

    def ask() -> Any:
        handle = manager.get_database_connection_from_dict(data, "pool")
        with handle as connection:
            connection.execute("SELECT 1")
        return handle.pool

    pools = at_once(200, ask)
    assert len({id(pool) for pool in pools}) == 1
    assert manager.cache_info["size"] == 1
    wait_for_backends(server, database, 2)
    manager.clear_cache()


async def test_1000_tasks_get_one_pool(server: Server, database: str) -> None:
    """Tasks that ask at once share one handle and one pool."""
    manager = PGConnectionManager()
    data = content(server, database)
    first = manager.get_database_connection_from_dict(data, "async_pool")

    async def ask() -> Any:
        async with first as connection:
            await connection.execute("SELECT 1")
        return first.pool

    pools = await asyncio.gather(*(ask() for _ in range(1000)))
    assert len({id(pool) for pool in pools}) == 1
    assert backends(server, database) == 2
    await manager.clear_cache_async()
    wait_for_backends(server, database, 0)


def test_threads_share_a_failure(server: Server) -> None:
    """A wrong password is tried once, and once more a second later, however many ask."""
    began = time.monotonic()
    manager = PGConnectionManager()
    data = content(server, user="nobody_sync", password="wrong")
    errors = at_once(50, lambda: manager.get_database_connection_from_dict(data, "pool").pool)
    assert all(type(error) is ConnectionFailedError for error in errors)
    assert len({id(error) for error in errors}) == 50
    assert all("password authentication failed" in str(error.__cause__) for error in errors)
    assert failed_logins(server, "nobody_sync") <= 1 + int(time.monotonic() - began)


async def test_tasks_share_a_failure(server: Server) -> None:
    """The same for tasks: one attempt, and an error of its own for each."""
    data = content(server, user="nobody_async", password="wrong")
    handle = PGConnectionManager().get_database_connection_from_dict(data, "async_pool")
    errors = await asyncio.gather(*(handle.open() for _ in range(100)), return_exceptions=True)
    assert all(type(error) is ConnectionFailedError for error in errors)
    assert len({id(error) for error in errors}) == 100
    assert failed_logins(server, "nobody_async") == 1


async def test_first_waiter_is_cancelled(server: Server, database: str) -> None:
    """Whoever began to open the pool may be cancelled; the others get it."""
    manager = PGConnectionManager()
    handle = manager.get_database_connection_from_dict(content(server, database), "async_pool")
    tasks = [asyncio.create_task(select(handle)) for _ in range(20)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == [1] * 19
    await manager.clear_cache_async()


def test_event_loops_in_threads(server: Server, database: str) -> None:
    """Each event loop has a pool of its own, which it closes."""
    manager = PGConnectionManager()
    handle = manager.get_database_connection_from_dict(content(server, database), "async_pool")

    async def work() -> int:
        await asyncio.gather(*(select(handle) for _ in range(20)))
        number = id(handle.pool)
        await asyncio.to_thread(barrier.wait)
        await handle.pool.close()
        return number

    barrier = threading.Barrier(4)
    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(lambda _: asyncio.run(work()), range(4)))) == 4
    manager.clear_cache()
    wait_for_backends(server, database, 0)


def test_one_asyncio_run_after_the_other(server: Server, database: str) -> None:
    """Each event loop has a new pool, which ends with it."""
    manager = PGConnectionManager()
    handle = manager.get_database_connection_from_dict(content(server, database), "async_pool")

    async def work() -> None:
        await asyncio.gather(*(select(handle) for _ in range(10)))
        assert handle.pool.get_stats()["pool_size"] == 2

    for _ in range(3):
        asyncio.run(work())
    wait_for_backends(server, database, 0)
    manager.clear_cache()


def test_sync_close_of_a_running_loops_pool(server: Server, database: str) -> None:
    """``clear_cache`` from a thread has the pool closed by its own event loop."""
    manager = PGConnectionManager()

    async def work() -> None:
        handle = manager.get_database_connection_from_dict(content(server, database), "async_pool")
        assert await select(handle) == 1
        await asyncio.to_thread(manager.clear_cache)
        await asyncio.to_thread(wait_for_backends, server, database, 0)

    asyncio.run(work())


def test_same_target_same_handle(server: Server, tmp_path: Path) -> None:
    """What is connected to is the key: two paths and a dictionary share one handle."""
    manager, data = PGConnectionManager(), content(server)
    one, two = write(tmp_path / "one.yaml", data), write(tmp_path / "two.yaml", data)
    handle: Any = manager.get_database_connection(one, "pool")
    assert manager.get_database_connection(str(one), connection_type="pool") is handle
    assert manager.get_database_connection(two, "pool") is handle
    assert manager.get_database_connection_from_dict(data, "pool") is handle
    assert manager.get_database_connection_from_dict(data, "normal") is not handle
    other = content(server, application_name="another")
    assert manager.get_database_connection_from_dict(other, "pool") is not handle
    other = content(server, password="another")
    assert manager.get_database_connection_from_dict(other, "pool") is not handle
    assert PGConnectionManager().get_database_connection(one, "pool") is not handle


def test_cache_info(server: Server) -> None:
    """Pgmonkey's shape: the number of handles, and the type of each by a short key."""
    manager = PGConnectionManager()
    assert manager.cache_info == {"size": 0, "connection_types": {}}
    for kind in TYPES:
        manager.get_database_connection_from_dict(content(server), kind)
    info = manager.cache_info
    assert info["size"] == 4
    assert sorted(info["connection_types"].values()) == sorted(TYPES)
    assert all(len(key) == 12 and int(key, 16) >= 0 for key in info["connection_types"])
    manager.clear_cache()
    assert manager.cache_info["size"] == 0


def test_changed_file_is_read_again(server: Server, database: str, tmp_path: Path) -> None:
    """A file is read again when it has changed, and what it does not lead to any more is closed."""
    path = write(tmp_path / "one.yaml", content(server, database))
    manager = PGConnectionManager()
    handle = manager.get_database_connection(path, "pool")
    assert backends(server, database) == 0
    with handle as connection:
        assert connection.info.dbname == database
    os.utime(path, ns=(1, 1))  # the same text
    assert manager.get_database_connection(path, "pool") is handle
    write(path, content(server))
    changed = manager.get_database_connection(path, "pool")
    with changed as connection:
        assert connection.info.dbname == "postgres"
    wait_for_backends(server, database, 0)
    assert manager.cache_info["size"] == 1
    manager.clear_cache()


def test_shared_handle_outlives_one_of_its_files(server: Server, tmp_path: Path) -> None:
    """A handle that another file leads to as well stays open when the first one changes."""
    manager = PGConnectionManager()
    one, two = (write(tmp_path / name, content(server)) for name in ("one.yaml", "two.yaml"))
    handle = manager.get_database_connection(two, "pool")
    assert manager.get_database_connection(one, "pool") is handle
    pool = handle.pool
    write(one, content(server, application_name="changed"))
    assert manager.get_database_connection(one, "pool") is not handle
    assert manager.get_database_connection(two, "pool").pool is pool
    assert not pool.closed
    manager.clear_cache()


def test_broken_change_keeps_what_is_open(server: Server, tmp_path: Path) -> None:
    """A file that was broken or deleted is an error, and closes nothing."""
    path = write(tmp_path / "one.yaml", content(server))
    manager = PGConnectionManager()
    handle = manager.get_database_connection(path, "pool")
    path.write_text("connection_settings: {prot: 5432}")
    with pytest.raises(InvalidConfigError, match="'prot'"):
        manager.get_database_connection(path, "pool")
    path.unlink()
    with pytest.raises(ConfigError, match="cannot read"):
        manager.get_database_connection(path, "pool")
    assert manager.cache_info["size"] == 1
    assert not handle.pool.closed
    write(path, content(server))
    assert manager.get_database_connection(path, "pool") is handle
    manager.clear_cache()


@pytest.mark.parametrize("source", ["file", "dict", "environment"])
def test_force_reload(make: Make, server: Server, tmp_path: Path, source: str) -> None:
    """``force_reload`` closes what is open, and makes a new handle, once."""
    manager, data = make(**content(server)), content(server)
    path = write(tmp_path / "one.yaml", data)

    def ask(*, force_reload: bool = False) -> PoolHandle:
        if source == "dict":
            return manager.get_database_connection_from_dict(data, "pool", force_reload)
        if source == "file":
            return manager.get_database_connection(path, "pool", force_reload)
        return manager.get_database_connection(connection_type="pool", force_reload=force_reload)

    first = ask()
    pool = first.pool
    second = ask(force_reload=True)
    assert second is not first
    assert pool.closed
    assert ask() is second
    assert manager.cache_info["size"] == 1


@pytest.mark.parametrize("how", ["force_reload", "changed", "reload"])
def test_rotated_variable(server: Server, tmp_path: Path, how: str) -> None:
    """What was opened before a secret in the variables changed is closed when it is replaced."""
    environ = {"PHRASE": "one"}
    manager = PGConnectionManager(environ=environ)
    data = content(server, sslpassword="${PHRASE}")
    path = write(tmp_path / "one.yaml", data)

    def ask(*, force_reload: bool = False) -> PoolHandle:
        return manager.get_database_connection(path, "pool", force_reload, resolve_env=True)

    first = ask()
    pool = first.pool
    environ["PHRASE"] = "two"
    if how == "changed":
        write(path, {**data, "connection_type": "pool"})
    elif how == "reload":
        manager.reload()
    second = ask(force_reload=how == "force_reload")
    assert (second is first) == (how == "reload")
    assert second.pool is not pool
    assert pool.closed
    assert manager.cache_info["size"] == 1
    manager.clear_cache()


async def test_clear_cache_async(server: Server, database: str) -> None:
    """It closes the pools of both kinds, and the manager can be used again."""
    manager, data = PGConnectionManager(), content(server, database)
    for _ in range(2):
        for kind in TYPES:
            assert await select(manager.get_database_connection_from_dict(data, kind)) == 1
        await manager.clear_cache_async()
        assert manager.cache_info["size"] == 0
        wait_for_backends(server, database, 0)


def test_garbage_collected(server: Server, database: str) -> None:
    """A manager that nobody knows any more takes its connections and threads along."""
    before = threading.active_count()
    managers = [PGConnectionManager() for _ in range(3)]
    for manager in managers:
        with manager.get_database_connection_from_dict(content(server, database), "pool"):
            pass
    gone = [weakref.ref(manager) for manager in managers]
    del manager, managers
    gc.collect()
    assert [reference() for reference in gone] == [None] * 3
    wait_for_backends(server, database, 0)
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


async def test_garbage_collected_async(server: Server, database: str) -> None:
    """The same for the pool of an event loop that goes on running; its tasks end too."""
    before = asyncio.all_tasks()
    manager = PGConnectionManager()
    data = content(server, database)
    assert await select(manager.get_database_connection_from_dict(data, "async_pool")) == 1
    del manager
    gc.collect()
    await asyncio.to_thread(wait_for_backends, server, database, 0)
    if workers := asyncio.all_tasks() - before:
        assert (await asyncio.wait(workers, timeout=5))[1] == set()


def test_handle_outlives_its_manager(server: Server, database: str) -> None:
    """A handle needs no manager, and its connections end with it."""
    data = content(server, database)
    handle: Any = PGConnectionManager().get_database_connection_from_dict(data, "pool")
    gc.collect()
    with handle, handle as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    del handle, connection
    wait_for_backends(server, database, 0)


def test_probing_a_handle_leaves_nothing(server: Server, database: str) -> None:
    """Looking for the methods of a block begins none."""
    manager = PGConnectionManager()
    handle: Any = manager.get_database_connection_from_dict(content(server, database), "pool")
    for _ in range(3):
        assert hasattr(handle, "__exit__")
        assert hasattr(handle, "__enter__")
        assert hasattr(type(handle), "__enter__")
    assert hasattr(handle, "__exit__")
    with handle as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    gone = weakref.ref(handle)
    del manager, handle
    assert gone() is None
    del connection
    wait_for_backends(server, database, 0)


def test_named_connections(make: Make, server: Server, database: str) -> None:
    """A named connection has handles of its own."""
    named = {"other": {"connection_settings": {"dbname": database}}}
    manager = make(**content(server), connections=named)
    with manager.normal("other") as connection:
        assert connection.info.dbname == database
    with manager.pool() as connection:
        assert connection.info.dbname == "postgres"
    assert manager.pool("other") is not manager.pool()
    assert manager.pool("other") is manager.pool("other")
    with pytest.raises(ConfigError, match="no connection 'third'"):
        manager.pool("third")


@pytest.mark.parametrize("kind", TYPES)
async def test_named_connections_of_a_dictionary(server: Server, database: str, kind: str) -> None:
    """A dictionary may have them too."""
    manager = PGConnectionManager(environ={})
    named = {"other": {"connection_settings": {"dbname": database}}}
    data = {**content(server), "connections": named}
    handle = manager.get_database_connection_from_dict(data, kind, connection="other")
    assert await select(handle, "SELECT current_database()") == database
    await manager.clear_cache_async()


def test_environment_is_read_once(make: Make, server: Server) -> None:
    """The environment stays as it was first read, until a reload is forced."""
    manager = make(**content(server))
    first = manager.config
    folder = first.project / "environments"
    (folder / "test.yaml").write_text(json.dumps({"pool_settings": {"max_size": 7}}))
    manager.pool()
    assert manager.config is first
    manager.get_database_connection(force_reload=True)
    assert manager.config["pool_settings.max_size"] == 7


def test_type_that_the_configuration_names(server: Server) -> None:
    """Without a type the configuration's own is used; an unknown one is refused."""
    manager = PGConnectionManager()
    data = content(server) | {"connection_type": "async_pool"}
    handle = manager.get_database_connection_from_dict(data)
    assert isinstance(handle, AsyncPoolHandle)
    assert manager.get_database_connection_from_dict(data, "async_pool") is handle
    with pytest.raises(UsageError, match="'pol' is not a connection type") as caught:
        manager.get_database_connection_from_dict(data, "pol")
    assert "async_pool" in caught.value.hint
