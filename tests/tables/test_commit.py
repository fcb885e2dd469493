"""What is said where the answer to a commit is lost, or comes after Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus
from tests.servers import Server
from tests.tables.conftest import interrupt, strike_at

from pgstrata.tables import (
    CopyOptions,
    ImportOptions,
    OutcomeUnknownError,
    commit_status,
    commit_status_async,
    copy_table_async,
    import_csv,
    import_csv_async,
)
from pgstrata.tables.errors import Interrupted

# A commit waits for a standby that there is not: it is done here, but nobody is told.
WAITING = "ALTER SYSTEM SET synchronous_standby_names = 'nobody'"
IS_WAITING = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
PROGRAM = """
import sys, psycopg
from pgstrata.tables import import_csv
with psycopg.connect(sys.stdin.readline().strip()) as connection:
    try:
        import_csv(connection, "pair", sys.argv[1])
    except KeyboardInterrupt as error:
        print(type(error).__name__, error.committed, error)
    except Exception as error:
        print(type(error).__name__, error.xid)
"""


@pytest.fixture
def slow_server(own_server: Server) -> Server:
    """Return a server whose commits wait for ever."""
    own_server.sql("CREATE TABLE pair (a int, b text)")
    own_server.append_conf("synchronous_commit = on")
    own_server.sql(WAITING)
    own_server.reload()
    return own_server


@pytest.fixture
def importing(slow_server: Server, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Return a process whose import has come to its commit."""
    path = tmp_path / "pair.csv"
    path.write_text("a,b\n1,x\n")
    dsn = psycopg.conninfo.make_conninfo(**slow_server.keywords())
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", PROGRAM, str(path)], **pipes) as process:
        assert process.stdin
        process.stdin.write(f"{dsn}\n")
        process.stdin.flush()
        deadline = time.monotonic() + 60
        while not slow_server.sql(IS_WAITING):
            assert time.monotonic() < deadline, "no commit came"
        yield process
        process.kill()


def test_a_lost_answer(slow_server: Server, importing: subprocess.Popen[str]) -> None:
    """The error has the transaction's id, by which the server tells later."""
    slow_server.sql(f"SELECT pg_terminate_backend(pid) FROM ({IS_WAITING}) AS waiting")
    name, xid = importing.communicate(timeout=60)[0].split()
    assert name == "OutcomeUnknownError"
    with psycopg.connect(**slow_server.keywords()) as connection:
        assert commit_status(connection, xid) == "committed"
        assert connection.execute("SELECT * FROM pair").fetchall() == [(1, "x")]


def test_ctrl_c_that_comes_too_late(slow_server: Server, importing: subprocess.Popen[str]) -> None:
    """It says that all is in."""
    importing.send_signal(signal.SIGINT)
    out = importing.communicate(timeout=60)[0]
    assert out == "Interrupted True too late: all is in the table\n"
    assert slow_server.sql("SELECT * FROM pair") == [(1, "x")]


def test_ctrl_c_just_before_the_commit(people: psycopg.Connection[Any], csv_file: Any) -> None:
    """Nothing is in, and no transaction is left open."""
    for statement in ("SELECT pg_catalog.pg_current_xact_id", "COMMIT"):
        strike_at(people, statement, interrupt)
        with pytest.raises(Interrupted, match="nothing was kept"):
            import_csv(people, "people", csv_file("id\n1\n"))
        assert people.info.transaction_status == TransactionStatus.IDLE
        people.cursor_factory = psycopg.Cursor
    assert people.execute("SELECT * FROM people").fetchall() == []


def test_ctrl_c_between_the_commit_and_its_answer(
    people: psycopg.Connection[Any], csv_file: Any
) -> None:
    """What is in the table is said, though the connection is in the middle of something."""

    def sent_and_interrupted() -> None:
        people.pgconn.send_query(b"COMMIT")
        people.pgconn.flush()
        interrupt()

    strike_at(people, "COMMIT", sent_and_interrupted)
    with pytest.raises(
        Interrupted, match=r"too late: all is in the table|nothing was kept"
    ) as error:
        import_csv(people, "people", csv_file("id\n1\n2\n"))
    people.cursor_factory = psycopg.Cursor
    kept = [(1,), (2,)] if error.value.committed else []
    assert people.execute("SELECT id FROM people").fetchall() == kept


@pytest.mark.parametrize("after", [False, True])
def test_rejects_stay_where_the_good_rows_are(
    people: psycopg.Connection[Any], csv_file: Any, tmp_path: Path, *, after: bool
) -> None:
    """Ctrl-C while the server commits may be too late."""
    rejects = tmp_path / "bad.csv"
    strike_at(people, "COMMIT", interrupt, after=after)
    path, options = csv_file("id\n1\nx\n"), ImportOptions(rejects=rejects)
    with pytest.raises(Interrupted) as error:
        import_csv(people, "people", path, options)
    assert error.value.committed == rejects.exists() == after
    assert len(people.execute("SELECT * FROM people").fetchall()) == int(after)


def cancel_at(
    connection: psycopg.AsyncConnection[Any], statement: str, *, after: bool = False
) -> None:
    """Let the task be cancelled just before, or after, a statement that begins so, once."""

    class Cancelled(psycopg.AsyncCursor[Any]):
        async def execute(self, query: Any, *rest: Any, **more: Any) -> Any:
            meant = query.as_string(None).startswith(statement)
            if after or not meant:
                await super().execute(query, *rest, **more)
            if meant:
                connection.cursor_factory = psycopg.AsyncCursor
                raise asyncio.CancelledError
            return self

    connection.cursor_factory = Cancelled


@pytest.fixture
async def other(
    people: psycopg.Connection[Any], server: Server
) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """Return an asynchronous connection to the database of ``people``."""
    keywords = server.keywords(dbname=people.info.dbname)
    async with await psycopg.AsyncConnection.connect(**keywords) as connection:
        yield connection


@pytest.mark.parametrize("after", [False, True])
async def test_a_cancellation_is_one_only_if_nothing_is_kept(
    people: psycopg.Connection[Any],
    other: psycopg.AsyncConnection[Any],
    csv_file: Any,
    tmp_path: Path,
    *,
    after: bool,
) -> None:
    """Else it is another error, and the rejects stay."""
    cancel_at(other, "COMMIT", after=after)
    path, options = csv_file("id\n1\nx\n"), ImportOptions(rejects=tmp_path / "bad.csv")
    error = OutcomeUnknownError if after else asyncio.CancelledError
    with pytest.raises(error, match="cancelled too late" if after else None):
        await import_csv_async(other, "people", path, options)
    assert other.info.transaction_status == TransactionStatus.IDLE
    assert people.execute("SELECT count(*) FROM people").fetchone() == (int(after),)
    assert (tmp_path / "bad.csv").exists() == after


@pytest.mark.parametrize("after", [False, True])
async def test_a_cancellation_within_a_transaction_keeps_nothing(
    people: psycopg.Connection[Any],
    other: psycopg.AsyncConnection[Any],
    csv_file: Any,
    *,
    after: bool,
) -> None:
    """Even if the caller commits: nobody has said that the rows are there."""
    await other.execute("INSERT INTO people VALUES (7)")
    cancel_at(other, "RELEASE", after=after)
    with pytest.raises(asyncio.CancelledError):
        await import_csv_async(other, "people", csv_file("id\n1\n"))
    await other.commit()
    assert people.execute("SELECT id FROM people").fetchall() == ([] if after else [(7,)])


async def test_a_cancellation_as_the_source_of_a_copy_ends(
    people: psycopg.Connection[Any], other: psycopg.AsyncConnection[Any], server: Server
) -> None:
    """By then the rows are in the target."""
    people.execute("INSERT INTO people VALUES (1); CREATE TABLE there (LIKE people)")
    people.commit()
    cancel_at(other, "COMMIT")
    keywords = server.keywords(dbname=people.info.dbname)
    async with await psycopg.AsyncConnection.connect(**keywords) as target:
        with pytest.raises(OutcomeUnknownError, match="cancelled too late: all is done"):
            await copy_table_async(other, target, "people", CopyOptions(target="there"))
    assert people.execute("SELECT id FROM there").fetchall() == [(1,)]


async def until_committing(server: Server) -> None:
    """Wait until a commit waits."""
    deadline = time.monotonic() + 60
    while not await asyncio.to_thread(server.sql, IS_WAITING):
        assert time.monotonic() < deadline, "no commit came"


@pytest.mark.parametrize("times", [1, 2])
async def test_a_task_that_is_cancelled_while_the_server_commits(
    slow_server: Server, csv_file: Any, times: int
) -> None:
    """The server has been faster, and who has cancelled it hears of that."""
    keywords = slow_server.keywords()
    async with await psycopg.AsyncConnection.connect(**keywords) as connection:
        task = asyncio.create_task(import_csv_async(connection, "pair", csv_file("a,b\n1,x\n")))
        await until_committing(slow_server)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(OutcomeUnknownError) as error:
            await task
    slow_server.sql(f"SELECT pg_terminate_backend(pid, 5000) FROM ({IS_WAITING}) AS waiting")
    async with await psycopg.AsyncConnection.connect(**keywords) as connection:
        assert await commit_status_async(connection, error.value.xid) == "committed"
    assert slow_server.sql("SELECT * FROM pair") == [(1, "x")]


def test_a_commit_that_dies(people: psycopg.Connection[Any], csv_file: Any) -> None:
    """Nothing is in, which the id tells too."""
    people.execute(
        "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN new; END$$;"
        "CREATE CONSTRAINT TRIGGER die AFTER INSERT ON people DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION die()"
    )
    people.commit()
    dsn = people.info.dsn
    with pytest.raises(OutcomeUnknownError) as error:
        import_csv(people, "people", csv_file("id\n1\n"))
    with psycopg.connect(dsn, password=people.info.password) as connection:
        assert commit_status(connection, error.value.xid) == "aborted"
        assert error.value.xid in error.value.hint
