from __future__ import annotations

import asyncio
import re
import signal
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus
from tests.proxy import Proxy
from tests.tables.conftest import interrupt, strike_at
from tests.tables.test_commit import cancel_at

from pgstrata.errors import UsageError
from pgstrata.tables import (
    ImportOptions,
    OutcomeUnknownError,
    PartialTransferError,
    RowError,
    TransferError,
    import_csv,
    import_csv_async,
    parallel,
    strict,
)
from pgstrata.tables.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.servers import Server

HEADER = "id,full name,amount\n"


@pytest.fixture
def workers(
    people: psycopg.Connection[Any], server: Server
) -> Iterator[list[psycopg.Connection[Any]]]:
    """Return three more connections to the database."""
    with ExitStack() as stack:
        keywords = server.keywords(dbname=people.info.dbname)
        yield [stack.enter_context(psycopg.connect(**keywords)) for _ in range(3)]


def body(count: int) -> str:
    """Return a file of records of two lines each."""
    return HEADER + "".join(f'{n},"name\n{n}, ""q"" {"x" * 90}",{n}\n' for n in range(count))


def count(connection: psycopg.Connection[Any]) -> tuple[Any, ...]:
    """Return numbers that tell whether all rows are there."""
    query = 'SELECT count(*), sum(id), sum(length("Full Name")) FROM people'
    row: tuple[Any, ...] = connection.execute(query).fetchall()[0]
    return row


def test_all_rows_arrive_once(
    people: psycopg.Connection[Any], workers: list[psycopg.Connection[Any]], csv_file: Any
) -> None:
    """The file is cut at records only, and every connection has its share."""
    path = csv_file(body(100_000))
    result = import_csv(people, "people", path, workers=workers)
    assert result.rows_loaded == 100_000
    parallel = count(people)
    people.rollback()
    assert people.execute("SELECT count(DISTINCT xmin::text) > 1 FROM people").fetchall() == [
        (True,)
    ]
    people.execute("TRUNCATE people")
    import_csv(people, "people", path)
    assert count(people) == parallel


def test_a_bad_row_undoes_what_all_have_loaded(
    people: psycopg.Connection[Any],
    workers: list[psycopg.Connection[Any]],
    csv_file: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And is located as if there had been one connection, although only places are kept."""
    monkeypatch.setattr(strict, "KEPT", 0)
    text = body(30_000).replace('20000,"', 'no number,"', 1)
    with pytest.raises(RowError) as caught:
        import_csv(people, "people", csv_file(text), workers=workers)
    assert (caught.value.reject.record, caught.value.reject.line) == (20_001, 40_002)
    assert count(people)[0] == 0


def test_a_duplicate_between_two_connections_is_an_error(
    people: psycopg.Connection[Any],
    workers: list[psycopg.Connection[Any]],
    csv_file: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One waits for the row of the other, which waits for its end: the first gives up."""
    monkeypatch.setattr(parallel, "LOCK_TIMEOUT", "300ms")
    text = body(30_000) + "5,again,1\n"
    with pytest.raises(TransferError):
        import_csv(people, "people", csv_file(text), workers=workers)
    assert count(people)[0] == 0


def gone(server: Server, connection: psycopg.Connection[Any]) -> Callable[[], object]:
    """Return what ends a connection's server process."""
    pid = connection.info.backend_pid
    return lambda: server.sql(f"SELECT pg_terminate_backend({pid}, 5000)")


@pytest.mark.parametrize(("lost", "certainty"), [(True, "are or are not"), (False, "are not")])
def test_a_failing_commit_says_which_records_of_which_files_are_in(
    people: psycopg.Connection[Any],
    workers: list[psycopg.Connection[Any]],
    server: Server,
    csv_file: Any,
    *,
    lost: bool,
    certainty: str,
) -> None:
    """The second connection is gone, or Ctrl-C comes, when the first has committed."""
    strike = gone(server, workers[0]) if lost else interrupt
    strike_at(workers[0], "COMMIT", strike)
    files = [csv_file("id\n1\n2\n", "a.csv"), csv_file("id\n3\n", "b.csv")]
    with pytest.raises(PartialTransferError) as caught:
        import_csv(people, "people", files, workers=workers[:1])
    shares = re.search(r"holds the records (.*); those from (.*?) are", str(caught.value))
    assert shares
    assert certainty in str(caught.value)
    rows = server.sql("SELECT id FROM people ORDER BY 1", people.info.dbname)
    known = {"(none)": [], f"1-2 of {files[0]}": [1, 2], f"1-1 of {files[1]}": [3]}
    known[f"1-2 of {files[0]}, 1-1 of {files[1]}"] = [1, 2, 3]
    assert [number for (number,) in rows] == known[shares[1]]
    assert sorted([*known[shares[1]], *known[shares[2]]]) == [1, 2, 3]


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("after", [False, True])
async def test_a_cancelled_commit_says_what_is_in(
    people: psycopg.Connection[Any], server: Server, csv_file: Any, place: int, *, after: bool
) -> None:
    """Which connection has got which records nobody knows; it is a cancellation if none is in."""
    keywords, connect = server.keywords(dbname=people.info.dbname), psycopg.AsyncConnection.connect
    async with await connect(**keywords) as one, await connect(**keywords) as two:
        cancel_at((one, two)[place], "COMMIT", after=after)
        with pytest.raises((TransferError, asyncio.CancelledError)) as caught:
            await import_csv_async(one, "people", csv_file(body(30_000)), workers=[two])
        states = {connection.info.transaction_status for connection in (one, two)}
    assert states == {TransactionStatus.IDLE}
    kept = count(people)[0]
    if isinstance(caught.value, PartialTransferError):
        said = str(caught.value).partition(";")[0]
        assert kept == sum(int(b) - int(a) + 1 for a, b in re.findall(r"(\d+)-(\d+)", said))
    else:
        assert kept == (30_000 if isinstance(caught.value, OutcomeUnknownError) else 0)


@pytest.mark.parametrize("deferred", ["", "DEFERRABLE INITIALLY DEFERRED"])
def test_a_row_that_another_connection_may_have(
    people: psycopg.Connection[Any],
    workers: list[psycopg.Connection[Any]],
    csv_file: Any,
    deferred: str,
) -> None:
    """What the server says of a key to the same table is no help; the hint is."""
    text = f"CREATE TABLE staff (id int PRIMARY KEY, boss int REFERENCES staff {deferred})"
    people.execute(text.encode())
    people.commit()
    with pytest.raises(TransferError, match="foreign key") as caught:
        import_csv(people, "staff", csv_file("id,boss\n1,2\n"), workers=workers)
    assert "do not see each other's rows" in caught.value.hint


@pytest.mark.parametrize("statement", ["SELECT", "SET CONSTRAINTS"])
def test_a_connection_that_dies(
    people: psycopg.Connection[Any],
    workers: list[psycopg.Connection[Any]],
    server: Server,
    csv_file: Any,
    statement: str,
) -> None:
    """Before it has loaded anything, or behind that: nothing is kept, and that is said."""
    strike_at(workers[0], statement, gone(server, workers[0]))
    with pytest.raises(TransferError, match=r"nothing was kept: terminating connection"):
        import_csv(people, "people", csv_file(body(3)), workers=workers)
    assert count(people)[0] == 0


WAITING = "SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'people'::regclass"


def until_waiting(server: Server, database: str, expected: int) -> None:
    """Wait until so many connections wait for the table."""
    deadline = time.monotonic() + 20
    while len(server.sql(WAITING, database)) != expected:
        assert time.monotonic() < deadline, server.sql(WAITING, database)


@pytest.mark.skipif(sys.platform != "linux", reason="listening is ended so on Linux only")
def test_ctrl_c_while_one_server_cannot_be_reached(
    people: psycopg.Connection[Any],
    workers: list[psycopg.Connection[Any]],
    server: Server,
    csv_file: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The others are cancelled all the same, and it is said what is kept."""
    monkeypatch.setattr(parallel, "LOCK_TIMEOUT", "60s")
    listener, database = socket.create_server(("127.0.0.1", 0)), people.info.dbname
    locking = psycopg.connect(**server.keywords(dbname=database))

    def strike() -> None:
        try:
            until_waiting(server, database, 3)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            until_waiting(server, database, 1)
        finally:
            locking.rollback()

    with (
        locking,
        ThreadPoolExecutor(1) as threads,
        Proxy((server.host, server.port), listener) as proxy,
        psycopg.connect(**server.keywords(port=proxy.port, dbname=database)) as proxied,
    ):
        listener.shutdown(socket.SHUT_RDWR)  # what is connected stays so
        locking.execute("LOCK TABLE people")
        striking = threads.submit(strike)
        with pytest.raises(Interrupted, match="nothing was kept"):
            import_csv(proxied, "people", csv_file(body(3)), workers=workers[:2])
        striking.result()
    assert count(people)[0] == 0


def test_fields_may_be_left_out(
    people: psycopg.Connection[Any], workers: list[psycopg.Connection[Any]], csv_file: Any
) -> None:
    """Each connection has a staging table of its own."""
    options = ImportOptions(columns=["id", "amount"])
    result = import_csv(people, "people", csv_file(body(9000)), options, workers=workers)
    assert result.rows_loaded == 9000
    assert count(people) == (9000, sum(range(9000)), None)


def test_the_bytes_of_all_files_count(
    people: psycopg.Connection[Any], workers: list[psycopg.Connection[Any]], csv_file: Any
) -> None:
    """Not only those of the last one."""
    files = [csv_file("id\n1\n2\n", "a.csv"), csv_file("id\n3\n", "b.csv")]
    assert import_csv(people, "people", files, workers=workers).bytes == 7 + 5


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "truncate"},
        {"on_conflict": "skip"},
        {"batch": 10},
        {"verify": True},
    ],
)
def test_what_needs_one_transaction_is_refused(
    people: psycopg.Connection[Any],
    workers: list[psycopg.Connection[Any]],
    csv_file: Any,
    options: Any,
) -> None:
    """Before anything is loaded."""
    with pytest.raises(UsageError, match=r"one connection only"):
        import_csv(people, "people", csv_file(body(3)), ImportOptions(**options), workers=workers)
    people.execute("SELECT 1")


def test_a_dry_run_leaves_nothing(
    people: psycopg.Connection[Any], workers: list[psycopg.Connection[Any]], csv_file: Any
) -> None:
    """On any of the connections."""
    options = ImportOptions(dry_run=True)
    result = import_csv(people, "people", csv_file(body(5000)), options, workers=workers)
    assert (result.rows_loaded, result.committed) == (5000, False)
    assert count(people)[0] == 0


async def test_asynchronous_connections_load_together(
    people: psycopg.Connection[Any], server: Server, csv_file: Any
) -> None:
    """With the same steps."""
    keywords = server.keywords(dbname=people.info.dbname)
    async with (
        await psycopg.AsyncConnection.connect(**keywords) as one,
        await psycopg.AsyncConnection.connect(**keywords) as two,
    ):
        result = await import_csv_async(one, "people", csv_file(body(20_000)), workers=[two])
    assert result.rows_loaded == count(people)[0] == 20_000
