from __future__ import annotations

import asyncio
import gc
import logging
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.connect.test_lifecycle import forking, forks, in_child
from tests.servers import Server

from pgstrata.errors import PgstrataError
from pgstrata.model import Secret
from pgstrata.pgmonkey import PGAsyncConnection, PGConnection, PGConnectionManager

SYNC = ("normal", "pool")
ASYNC = ("async", "async_pool")


def raise_after(_: object) -> None:
    """Raise an error of the program's own."""
    raise ZeroDivisionError


async def failing(shared: PGAsyncConnection) -> None:
    """Insert a row, and fail in the same block."""
    async with shared as conn:
        raise_after(await conn.execute("INSERT INTO t VALUES (2)"))


class Rows:
    """The rows of table ``t``, seen from outside."""

    def __init__(self, server: Server, database: str) -> None:
        self.server, self.database = server, database

    @property
    def now(self) -> list[int]:
        """What is committed."""
        return sorted(row[0] for row in self.server.sql("SELECT n FROM t", self.database))


@pytest.fixture
def rows(server: Server, database: str, file: Path) -> Rows:
    """Return the rows of the table that the file leads to."""
    return Rows(server, database)


@pytest.fixture
def manager() -> Iterator[PGConnectionManager]:
    """Return a manager that is cleared in the end."""
    made = PGConnectionManager()
    yield made
    made.clear_cache()


@pytest.mark.parametrize("kind", SYNC)
def test_a_block_commits_or_rolls_back(
    kind: str, manager: PGConnectionManager, file: Path, rows: Rows
) -> None:
    """As in pgmonkey, and what the block yields has the methods of a connection."""
    shared = manager.get_database_connection(file, kind)
    with shared as conn:
        with conn.cursor() as cur:
            cur.execute("INSERT INTO t VALUES (1)")
        assert conn.connection_type == kind
        assert conn.connection.closed is False
    with pytest.raises(ZeroDivisionError), shared as conn:
        raise_after(conn.execute("INSERT INTO t VALUES (2)"))
    with shared as conn:
        conn.execute("INSERT INTO t VALUES (3)")
        conn.rollback()
        conn.execute("INSERT INTO t VALUES (4)")
        conn.commit()
    assert rows.now == [1, 4]


@pytest.mark.parametrize("kind", ASYNC)
async def test_an_async_block_commits_or_rolls_back(kind: str, file: Path, rows: Rows) -> None:
    """The same; the object may be awaited, as the manager's answer had to be."""
    manager = PGConnectionManager()
    shared = await manager.get_database_connection(file, kind)
    async with shared as conn, conn.cursor() as cur:
        await cur.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(ZeroDivisionError):
        await failing(shared)
    async with shared as conn:
        async with conn.transaction() as same, same.cursor() as cur:
            await cur.execute("INSERT INTO t VALUES (3)")
        await conn.commit()
        await conn.execute("INSERT INTO t VALUES (4)")
        await conn.rollback()
    await manager.clear_cache_async()
    assert rows.now == [1, 3]


@pytest.mark.parametrize("kind", SYNC)
def test_after_a_block_rollback_reaches_nobody(
    kind: str, manager: PGConnectionManager, file: Path, rows: Rows
) -> None:
    """A rollback behind the block is on pgmonkey's own page; by then others have the connection."""
    shared = manager.get_database_connection(file, kind)
    with shared as old:
        pass
    with shared as conn:
        conn.execute("INSERT INTO t VALUES (1)")
        old.rollback()
        old.commit()
        with pytest.raises(psycopg.InterfaceError, match="the block has ended"):
            old.cursor()
    assert rows.now == [1]


@pytest.mark.parametrize("kind", SYNC)
def test_blocks_nest(kind: str, manager: PGConnectionManager, file: Path, rows: Rows) -> None:
    """Each has its own connection; the object's methods mean the innermost one."""
    shared = manager.get_database_connection(file, kind)
    with shared as outer:
        outer.execute("INSERT INTO t VALUES (1)")
        with shared as inner:
            assert shared.connection is inner.connection
            inner.execute("INSERT INTO t VALUES (2)")
        assert rows.now == [2]
        assert shared.connection is outer.connection
        with shared.cursor() as cur:
            cur.execute("INSERT INTO t VALUES (3)")
    assert rows.now == [1, 2, 3]


def test_methods_without_a_block(manager: PGConnectionManager, file: Path, rows: Rows) -> None:
    """``cursor``, ``commit`` and ``rollback`` of the object, then ``disconnect``."""
    shared = manager.get_database_connection(file)
    cur = shared.cursor()
    cur.execute("INSERT INTO t VALUES (1)")
    shared.commit()
    cur.execute("INSERT INTO t VALUES (2)")
    shared.rollback()
    with shared.transaction() as same:
        same.cursor().execute("INSERT INTO t VALUES (3)")
    assert rows.now == [1, 3]
    shared.disconnect()
    assert shared.connection is None
    shared.connect()
    assert shared.cursor().execute("SELECT 1").fetchone() == (1,)


def test_the_end_of_a_transaction_commits_what_was_before(
    manager: PGConnectionManager, file: Path, rows: Rows
) -> None:
    """A statement before it makes psycopg's a savepoint, whose end commits nothing."""
    shared = manager.get_database_connection(file)
    shared.cursor().execute("INSERT INTO t VALUES (1)")
    with shared.transaction():
        shared.cursor().execute("INSERT INTO t VALUES (2)")
        with pytest.raises(ZeroDivisionError), shared.transaction():
            raise_after(shared.cursor().execute("INSERT INTO t VALUES (3)"))
        assert rows.now == []
    assert rows.now == [1, 2]


def test_a_block_takes_the_kept_connection(
    manager: PGConnectionManager, file: Path, rows: Rows
) -> None:
    """It commits what was begun before it, as pgmonkey's does, and closes the connection."""
    shared = manager.get_database_connection(file)
    shared.cursor().execute("INSERT INTO t VALUES (1)")
    kept = shared.connection
    with shared as conn:
        assert conn.connection is kept
    assert kept.closed
    assert rows.now == [1]


@pytest.mark.parametrize("kind", ASYNC)
async def test_async_methods_without_a_block(kind: str, file: Path, rows: Rows) -> None:
    """The same; a pool's cursor and transaction borrow, and commit at their end."""
    manager = PGConnectionManager()
    shared = await manager.get_database_connection(file, kind)
    async with shared.cursor() as cur:
        await cur.execute("INSERT INTO t VALUES (1)")
    await shared.commit()
    async with shared.transaction() as same, same.cursor() as cur:
        await cur.execute("INSERT INTO t VALUES (2)")
    await shared.test_connection()
    await shared.disconnect()
    await manager.clear_cache_async()
    assert rows.now == [1, 2]


def test_a_pool_without_a_block(manager: PGConnectionManager, file: Path, rows: Rows) -> None:
    """Its cursor and transaction borrow; commit and rollback have nothing to do."""
    shared = manager.get_database_connection(file, "pool")
    shared.connect()
    shared.commit()
    shared.rollback()
    with shared.cursor() as cur:
        cur.execute("INSERT INTO t VALUES (1)")
    with shared.transaction(), shared.cursor() as cur:
        cur.execute("INSERT INTO t VALUES (2)")
    assert shared.pool.max_size == 4
    assert shared.connection is None
    shared.test_connection()
    shared.disconnect()
    with shared as conn:
        conn.execute("INSERT INTO t VALUES (3)")
    assert rows.now == [1, 2, 3]


@pytest.mark.parametrize("kind", SYNC)
def test_threads_share_an_object(
    kind: str, manager: PGConnectionManager, file: Path, rows: Rows
) -> None:
    """Each has a connection of its own, in blocks and without; nothing is lost."""
    shared = manager.get_database_connection(file, kind)

    def work(number: int) -> None:
        with shared as conn:
            conn.execute("INSERT INTO t VALUES (%s)", (number,))
        with shared.transaction(), shared.cursor() as cur:
            cur.execute("INSERT INTO t VALUES (%s)", (number,))
        if kind == "normal":
            shared.disconnect()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(40)))
    assert rows.now == sorted([*range(40), *range(40)])


def test_a_block_may_end_in_another_thread(
    manager: PGConnectionManager, file: Path, rows: Rows
) -> None:
    """As web frameworks do with what a request depends on."""
    shared = manager.get_database_connection(file, "pool")

    def request() -> Iterator[Any]:
        with shared as conn:
            yield conn

    generator = request()
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as two, ThreadPoolExecutor(1) as three:
        conn = one.submit(next, generator).result()
        two.submit(conn.execute, "INSERT INTO t VALUES (1)").result()
        three.submit(next, generator, None).result()
    assert rows.now == [1]


def test_a_thread_that_forgets_to_commit_is_told_of(
    manager: PGConnectionManager, file: Path, rows: Rows, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody can commit for it any more, and its connection is closed."""
    shared = manager.get_database_connection(file)
    kept: list[Any] = []

    def work() -> None:
        shared.cursor().execute("INSERT INTO t VALUES (1)")
        kept.append(shared.connection)

    with caplog.at_level(logging.WARNING, "pgstrata.pgmonkey"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        del thread
        gc.collect()
    assert kept[0].closed
    assert "without a commit" in caplog.text
    assert rows.now == []


def test_what_an_object_tells(manager: PGConnectionManager, file: Path) -> None:
    """Its type, its keywords without the password, and itself at the next call."""
    shared = manager.get_database_connection(file, "normal")
    assert isinstance(shared, PGConnection)
    assert (shared.connection_type, shared.pool, shared.connection) == ("normal", None, None)
    assert isinstance(shared.config["password"], Secret)
    assert manager.get_database_connection(file, "normal") is shared
    assert isinstance(manager.get_database_connection(file, "async"), PGAsyncConnection)


def test_a_failure_is_raised(manager: PGConnectionManager, file: Path) -> None:
    """The one of pgmonkey, ``test_connection``, logged it and went on."""
    path = file.with_name("wrong.yaml")
    path.write_text(file.read_text().replace("made-up-for-tests", "wrong"))
    for kind in SYNC:
        with pytest.raises(PgstrataError, match="password authentication failed"):
            manager.get_database_connection(path, kind).test_connection()


def test_tasks_share_an_object(file: Path, rows: Rows) -> None:
    """Each has a connection of its own without a block, too."""

    async def main() -> None:
        manager = PGConnectionManager()
        shared = await manager.get_database_connection(file, "async")

        async def work(number: int) -> None:
            async with shared.transaction(), shared.cursor() as cur:
                await cur.execute("INSERT INTO t VALUES (%s)", (number,))
            await shared.disconnect()

        await asyncio.gather(*map(work, range(8)))
        await manager.clear_cache_async()

    asyncio.run(main())
    assert rows.now == list(range(8))


@forks
@forking
def test_fork(file: Path, rows: Rows, manager: PGConnectionManager) -> None:
    """A child connects by itself, whatever other threads did; theirs go on as if nothing was."""
    shared = manager.get_database_connection(file, "normal")

    def insert(number: int) -> None:
        with shared.cursor() as cursor:
            cursor.execute("INSERT INTO t VALUES (%s)", [number])

    def child() -> bool:
        signal.alarm(20)  # which ends a child that waits for the lock
        gc.collect()
        insert(2)
        shared.commit()
        return True

    with ThreadPoolExecutor(1) as threads:
        threads.submit(insert, 1).result()
        threads.submit(shared._lock.acquire).result()
        assert in_child(child) == 0
        shared._lock.release()
        assert rows.now == [2]
        threads.submit(shared.commit).result()
    assert rows.now == [1, 2]
