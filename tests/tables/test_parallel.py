from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgstrata.errors import UsageError
from pgstrata.tables import (
    ImportOptions,
    PartialTransferError,
    RowError,
    TransferError,
    import_csv,
    import_csv_async,
    parallel,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    path = csv_file(body(30_000))
    result = import_csv(people, "people", path, workers=workers)
    assert result.rows_loaded == 30_000
    parallel = count(people)
    people.rollback()
    assert people.execute("SELECT count(DISTINCT xmin::text) > 1 FROM people").fetchall() == [
        (True,)
    ]
    people.execute("TRUNCATE people")
    import_csv(people, "people", path)
    assert count(people) == parallel


def test_a_bad_row_undoes_what_all_have_loaded(
    people: psycopg.Connection[Any], workers: list[psycopg.Connection[Any]], csv_file: Any
) -> None:
    """And is located as if there had been one connection."""
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


def test_a_failing_commit_says_which_records_are_in(
    people: psycopg.Connection[Any],
    workers: list[psycopg.Connection[Any]],
    server: Server,
    csv_file: Any,
) -> None:
    """The second connection is gone when the first has committed."""
    pid = workers[0].info.backend_pid
    people.execute(
        "CREATE FUNCTION strike() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN"
        f" PERFORM pg_terminate_backend({pid}, 5000);"
        " RETURN NULL; END$$;"
        "CREATE TABLE marks (id int);"
        "CREATE CONSTRAINT TRIGGER t AFTER INSERT ON marks DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION strike()".encode()
    )
    people.commit()
    path = csv_file(body(30_000))

    def last(now: Any) -> None:
        if now.rows == 30_000 and not done:
            done.append(now)
            server.sql(f"SELECT pg_terminate_backend({pid}, 5000)")

    done: list[Any] = []
    with pytest.raises((PartialTransferError, TransferError)) as caught:
        import_csv(people, "people", path, workers=workers, progress=last)
    rows = server.sql("SELECT count(*) FROM people", people.info.dbname)[0][0]
    if isinstance(caught.value, PartialTransferError):
        assert "holds the records" in str(caught.value)
        assert 0 < rows < 30_000
    else:
        assert rows == 0


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "truncate"},
        {"on_conflict": "skip"},
        {"batch": 10},
        {"verify": True},
        {"columns": ["id"]},
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
