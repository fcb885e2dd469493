"""What the pools of a manager count and report, on a real server."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.connect.conftest import Make, select, settings
from tests.servers import Server

from pgstrata import ConnectionFailedError, PGConnectionManager, PoolTimeoutError
from pgstrata.connect import leaks
from pgstrata.connect.handles import AsyncPoolHandle, PoolHandle
from pgstrata.connect.meter import BOUNDS, Durations, Pooled
from pgstrata.connect.stats import PoolStats

KINDS = ("pool", "async_pool")
PATIENCE = 60  # seconds that nothing here takes, unless it hangs


def the_pool(manager: PGConnectionManager) -> PoolStats:
    """Return the stats of a manager's only pool."""
    (pool,) = manager.stats().pools
    return pool


def wait_until(true: Callable[[], object]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def handle_of(manager: PGConnectionManager, kind: str) -> PoolHandle | AsyncPoolHandle:
    """Return the handle of a manager's pool of this type."""
    return manager.pool() if kind == "pool" else manager.async_pool()


def test_nothing_is_counted_before_a_pool_is_asked_for(manager: PGConnectionManager) -> None:
    """Stats open nothing; a handle alone has a pool of size 0."""
    assert manager.stats().pools == ()
    manager.normal()
    handle = manager.pool()
    pool = the_pool(manager)
    assert (pool.pools, pool.size, pool.min_size, pool.max_size) == (0, 0, 1, 4)
    assert (pool.name, pool.connection_type) == ("test/default", "pool")
    assert not handle.pools()


@pytest.mark.parametrize("kind", KINDS)
async def test_borrowed_connections_are_seen(manager: PGConnectionManager, kind: str) -> None:
    """What is borrowed counts as used, and each borrowing once in both histograms."""
    handle = handle_of(manager, kind)
    if isinstance(handle, AsyncPoolHandle):
        async with handle:
            inside = the_pool(manager)
    else:
        with handle:
            inside = the_pool(manager)
    assert (inside.used, inside.wait.count, inside.use.count) == (1, 1, 0)
    await select(handle, "SELECT pg_sleep(0.02)")
    after = the_pool(manager)
    assert (after.used, after.wait.count, after.use.count) == (0, 2, 2)
    assert after.use.seconds > 0.02
    assert after.use.mean == after.use.seconds / 2
    assert after.create.count >= 1
    assert sum(after.use.counts[3:]) == 1  # the one that took longer than 0.01 s
    assert (after.errors, after.reconnects, after.last_error) == ({}, 0, "")
    if isinstance(handle, AsyncPoolHandle):
        await manager.clear_cache_async()


def test_callers_that_wait_are_seen(make: Make, server: Server) -> None:
    """A caller in the queue counts as waiting, one whose time is over as an error."""
    manager = make(settings(server), pool_settings={"min_size": 1, "max_size": 1, "timeout": 60})
    handle = manager.pool()
    with handle:
        thread = threading.Thread(target=lambda: asyncio.run(select(handle)))
        thread.start()
        wait_until(lambda: the_pool(manager).waiting == 1)
        with pytest.raises(PoolTimeoutError, match=r"pool test/default had .* within 0\.01 s"):
            handle.pool.getconn(timeout=0.01)
    thread.join()
    pool = the_pool(manager)
    assert (pool.waiting, pool.errors) == (0, {"timeout": 1})
    assert pool.last_error == ""


@pytest.mark.parametrize("kind", KINDS)
async def test_refusals_are_counted_with_the_servers_words(
    make: Make, server: Server, kind: str
) -> None:
    """A wrong password is an error of the kind ``refused``, and no secret is told."""
    manager = make(settings(server, password="not-the-password"))
    with pytest.raises(ConnectionFailedError):
        await select(handle_of(manager, kind))
    pool = the_pool(manager)
    assert pool.errors == {"refused": 1}
    assert "password authentication failed" in pool.last_error
    assert "not-the-password" not in repr(pool)
    assert abs(pool.last_error_at - time.time()) < PATIENCE


@pytest.mark.parametrize("kind", KINDS)
async def test_lost_connections_are_counted_and_replaced(
    make: Make, server: Server, kind: str
) -> None:
    """A connection whose server process ended counts as lost, its replacement as reconnect."""
    sizes = {"min_size": 1, "max_size": 1, "timeout": PATIENCE}
    manager = make(settings(server), pool_settings=sizes, async_pool_settings=sizes)
    handle = handle_of(manager, kind)
    with pytest.raises(psycopg.OperationalError):
        await select(handle, "SELECT pg_terminate_backend(pg_backend_pid())")
    assert await select(handle) == 1
    pool = the_pool(manager)
    assert (pool.errors, pool.reconnects, pool.size) == ({"lost": 1}, 1, 1)
    if isinstance(handle, AsyncPoolHandle):
        await manager.clear_cache_async()


def test_counts_outlive_a_closed_pool(manager: PGConnectionManager) -> None:
    """Closing a handle closes its pool, not its books."""
    handle = manager.pool()
    with handle:
        pass
    handle.close()
    with handle:
        pass
    assert the_pool(manager).use.count == 2


def test_no_count_is_lost_between_threads(manager: PGConnectionManager) -> None:
    """Eight threads that borrow 200 times each are 1,600 uses."""
    handle = manager.pool()

    def work() -> None:
        for _ in range(200):
            with handle:
                pass

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pool = the_pool(manager)
    assert (pool.wait.count, pool.use.count, pool.used) == (1600, 1600, 0)


def test_listeners_hear_of_each_duration(manager: PGConnectionManager) -> None:
    """They are told of pools that were there before and of those that come later."""
    heard: list[tuple[str, str]] = []
    first = manager.pool()
    manager.listen(lambda kind, pooled, _: heard.append((kind, pooled.connection_type)))
    with first:
        pass

    async def borrow() -> None:
        async with manager.async_pool():
            pass
        await manager.clear_cache_async()

    asyncio.run(borrow())
    expected = {(kind, pool) for kind in ("wait", "use") for pool in KINDS}
    assert expected <= set(heard)
    assert the_pool_counts(heard, "wait") == 2


def the_pool_counts(heard: list[tuple[str, str]], kind: str) -> int:
    """Return how many durations of a kind were heard of."""
    return sum(1 for one, _ in heard if one == kind)


@given(st.lists(st.floats(0, 100)))
def test_each_duration_is_in_the_bucket_that_it_belongs_to(seconds: list[float]) -> None:
    """``counts[i]`` are those beyond the bound before, up to ``BOUNDS[i]``."""
    durations = Durations("use", Pooled("p", "pool"), [])
    for one in seconds:
        durations.add(one)
    edges = [-1.0, *BOUNDS, float("inf")]
    expected = [sum(edges[i] < s <= edges[i + 1] for s in seconds) for i in range(len(BOUNDS) + 1)]
    assert list(durations.counts) == expected


LEAKY = {"min_size": 1, "max_size": 2, "leak_threshold": 0.1}


def here() -> int:
    """Return the line that calls this."""
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return frame.f_back.f_lineno


def said(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    """Return what was logged about holders at this level."""
    records = [r for r in caplog.records if r.name == "pgstrata.connect" and r.levelno == level]
    return [r.getMessage() for r in records if "borrowed at" in r.getMessage()]


def test_who_holds_a_connection_for_long_is_told_of_once(
    make: Make, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """The warning names file, line, function and thread; giving back is told of too."""
    caplog.set_level(logging.INFO, "pgstrata.connect")
    manager = make(settings(server), pool_settings=LEAKY)
    handle = manager.pool()
    line = here() + 1
    with handle as connection:
        wait_until(lambda: said(caplog, logging.WARNING))
        handle.open().leaks.look(handle.open().in_use)  # type: ignore[union-attr]  # it has them
        assert the_pool(manager).leaked == 1
        process = connection.info.backend_pid
    (warning,) = said(caplog, logging.WARNING)
    assert f"{__file__}:{line} in test_who_holds_a_connection" in warning
    assert f"by thread MainThread (server process {process})" in warning
    (back,) = said(caplog, logging.INFO)
    assert f"{__file__}:{line}" in back
    assert the_pool(manager).leaked == 0


async def test_a_holder_in_an_event_loop_is_told_of_by_its_task(
    make: Make, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """The place is where the task borrowed, also when it had to wait for the connection."""
    caplog.set_level(logging.INFO, "pgstrata.connect")
    manager = make(settings(server), async_pool_settings={**LEAKY, "max_size": 1})
    handle = manager.async_pool()
    lines: list[int] = []

    def in_hold() -> list[str]:
        return [one for one in said(caplog, logging.WARNING) if " in hold " in one]

    async def hold() -> None:
        lines.append(here() + 1)
        async with handle:
            while not in_hold():  # noqa: ASYNC110  # no event tells of a log record
                await asyncio.sleep(0.01)

    first = await (await handle.open()).getconn()
    task = asyncio.create_task(hold(), name="the-holder")
    while not the_pool(manager).waiting:  # noqa: ASYNC110  # nor of a caller who waits
        await asyncio.sleep(0)
    await (await handle.open()).putconn(first)
    await asyncio.wait_for(task, PATIENCE)
    (warning,) = in_hold()
    assert f"{__file__}:{lines[0]} in hold by task the-holder" in warning
    await manager.clear_cache_async()


def test_each_way_to_borrow_is_seen_through(make: Make, server: Server) -> None:
    """The borrower is whoever asked, not what asked the pool on its behalf."""
    manager = make(settings(server), pool_settings={**LEAKY, "leak_threshold": PATIENCE})
    handle = manager.pool()
    pool = handle.open()

    def borrowed_in() -> str:
        ((_, holder),) = pool.in_use.values()
        assert holder is not None
        return leaks._place(holder)

    seen = []
    with handle:
        seen.append((here() - 1, borrowed_in()))
    with handle.connection():
        seen.append((here() - 1, borrowed_in()))
    with handle.pool.connection():
        seen.append((here() - 1, borrowed_in()))
    with contextlib.ExitStack() as stack:
        stack.enter_context(handle)
        seen.append((here() - 1, borrowed_in()))
    connection = pool.getconn()
    seen.append((here() - 1, borrowed_in()))
    pool.putconn(connection)
    assert [place for _, place in seen] == [
        f"{__file__}:{line} in test_each_way_to_borrow_is_seen_through" for line, _ in seen
    ]


def test_a_script_that_borrows_is_told_of(server: Server, tmp_path: Path) -> None:
    """``getconn`` is called by no function there, so there are no more frames to look at."""
    data = {"connection_settings": settings(server), "pool_settings": LEAKY}
    script = tmp_path / "script.py"
    script.write_text(
        "import json, logging, sys\n"
        "from pgstrata import PGConnectionManager\n"
        "logging.basicConfig(format='%(message)s')\n"
        "manager = PGConnectionManager()\n"
        "data = json.load(sys.stdin)\n"
        "pool = manager.get_database_connection_from_dict(data, 'pool').pool\n"
        "connection = pool.getconn()\n"
        "while not pool.leaks.reported:\n"
        "    connection.execute('SELECT 1')\n"
        "pool.putconn(connection)\n"
        "manager.clear_cache()\n"
    )
    command = [sys.executable, str(script)]
    done = subprocess.run(
        command, input=json.dumps(data), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"borrowed at {script}:7 in <module> by thread MainThread" in done.stderr


@pytest.mark.parametrize("kind", ["pool", "async_pool"])
async def test_the_watch_goes_on_after_an_error(
    make: Make, server: Server, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """A log that cannot be written is no reason to be silent from then on."""
    manager = make(settings(server), pool_settings=LEAKY, async_pool_settings=LEAKY)
    failed: list[logging.LogRecord] = []

    def failing_once(record: logging.LogRecord) -> bool:
        if not failed:
            failed.append(record)
            raise OSError("no space left on device")
        return True

    leaks.logger.addFilter(failing_once)
    handle = handle_of(manager, kind)
    pool = await handle.open() if isinstance(handle, AsyncPoolHandle) else handle.open()
    connections = [await got(pool.getconn()) for _ in range(2)]
    try:
        await asyncio.to_thread(wait_until, lambda: said(caplog, logging.WARNING))
    finally:
        leaks.logger.removeFilter(failing_once)
    for connection in connections:
        await got(pool.putconn(connection))
    await manager.clear_cache_async()


async def got(made: Any) -> Any:
    """Return what a pool of either type returned."""
    return await made if inspect.isawaitable(made) else made


def test_a_closed_connection_that_nobody_gives_back_is_told_of(
    make: Make, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """It takes a place of the pool all the same."""
    handle = make(settings(server), pool_settings=LEAKY).pool()
    connection = handle.pool.getconn()
    connection.close()
    wait_until(lambda: said(caplog, logging.WARNING))
    handle.pool.putconn(connection)


def test_nobody_is_watched_by_default(manager: PGConnectionManager) -> None:
    """Without ``leak_threshold`` no borrower is looked at."""
    handle = manager.pool()
    with handle:
        pool = handle.open()
        assert pool.leaks is None
        assert [holder for _, holder in pool.in_use.values()] == [None]
