from __future__ import annotations

import random
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from tests.servers import Server
from tests.tables.conftest import create_people

from pgstrata.errors import UsageError
from pgstrata.tables import (
    ImportOptions,
    InputError,
    PartialTransferError,
    Progress,
    TransferError,
    import_csv,
)

if TYPE_CHECKING:
    from pathlib import Path

HEADER = "id,full name,amount\n"
# Imports a file in batches and tells each commit, so that the test knows when to strike.
PROGRAM = """
import sys, psycopg
from pgstrata.tables import ImportOptions, import_csv
connection = psycopg.connect(sys.stdin.readline().strip())
options = ImportOptions(batch=100, resume=True, rejects=sys.argv[2], max_rejects=1000)
import_csv(connection, "people", sys.argv[1], options,
           progress=lambda now: print(now.committed, flush=True))
"""


def ids(connection: psycopg.Connection[Any]) -> list[int]:
    """Return the keys in the table."""
    return [
        number for (number,) in connection.execute("SELECT id FROM people ORDER BY 1").fetchall()
    ]


def body(count: int, bad: dict[int, str] | None = None) -> str:
    """Return a file of good records, but for the bad ones given by number."""
    lines = [f'{n},"{n}\n",{n}\n' for n in range(count)]
    for number, line in (bad or {}).items():
        lines[number] = line
    return HEADER + "".join(lines)


def test_batches_are_committed_as_they_come(people: psycopg.Connection[Any], csv_file: Any) -> None:
    """Exactly so many records each, and the last what is left."""
    seen: list[Progress] = []
    options = ImportOptions(batch=10)
    result = import_csv(people, "people", csv_file(body(25)), options, progress=seen.append)
    assert result.rows_loaded == 25
    assert seen[-1].committed == 25
    (state,) = people.execute("SELECT record, loaded, done FROM pgstrata_imports").fetchall()
    assert state == (26, 25, True)
    xids = people.execute("SELECT count(DISTINCT xmin::text) FROM people").fetchall()
    assert xids == [(3,)]


def test_an_import_goes_on_behind_its_last_commit(
    people: psycopg.Connection[Any], csv_file: Any
) -> None:
    """After the file was mended behind that point."""
    path = csv_file(body(50, {33: "33,a,x\n"}))
    with pytest.raises(PartialTransferError, match=r"30 rows of people are committed.*record 34"):
        import_csv(people, "people", path, ImportOptions(batch=10))
    assert ids(people) == list(range(30))
    people.rollback()
    csv_file(body(50, {33: "33,a,1\n"}))
    with pytest.raises(UsageError, match=r"committed 30 rows and not ended"):
        import_csv(people, "people", path, ImportOptions(batch=10))
    result = import_csv(people, "people", path, ImportOptions(batch=7, resume=True))
    assert (result.rows_resumed, result.rows_loaded) == (30, 20)
    assert ids(people) == list(range(50))


def test_resuming_what_is_done_does_nothing(people: psycopg.Connection[Any], csv_file: Any) -> None:
    """Never a row twice."""
    path = csv_file(body(20))
    options = ImportOptions(batch=10, resume=True)
    assert import_csv(people, "people", path, options).rows_loaded == 20
    result = import_csv(people, "people", path, options)
    assert (result.rows_loaded, result.rows_resumed) == (0, 20)
    assert len(ids(people)) == 20


def test_a_file_that_changed_before_that_point_is_not_resumed(
    people: psycopg.Connection[Any], csv_file: Any
) -> None:
    """The bytes that were loaded are compared."""
    path = csv_file(body(100_000, {70_000: "x\n"}))
    with pytest.raises(PartialTransferError):
        import_csv(people, "people", path, ImportOptions(batch=30_000))
    csv_file(body(100_000).replace("50000,", "50001,"))
    with pytest.raises(InputError, match=r"has changed within the 60000 records"):
        import_csv(people, "people", path, ImportOptions(batch=30_000, resume=True))


def test_batches_need_a_connection_of_their_own(
    people: psycopg.Connection[Any], csv_file: Any
) -> None:
    """Inside a transaction nothing could be committed."""
    people.execute("SELECT 1")
    with pytest.raises(UsageError, match=r"in a transaction"):
        import_csv(people, "people", csv_file(body(1)), ImportOptions(batch=10))


def test_truncating_goes_before_the_first_batch_only(
    people: psycopg.Connection[Any], csv_file: Any
) -> None:
    """And not before a resumed one."""
    people.execute("INSERT INTO people (id) VALUES (999)")
    people.commit()
    path = csv_file(body(30, {25: "x\n"}))
    with pytest.raises(PartialTransferError):
        import_csv(people, "people", path, ImportOptions(batch=10, mode="truncate"))
    people.rollback()
    csv_file(body(30))
    options = ImportOptions(batch=10, mode="truncate", resume=True)
    import_csv(people, "people", path, options)
    assert ids(people) == list(range(30))


def test_rejects_are_resumed_with_the_rows(
    people: psycopg.Connection[Any], csv_file: Any, tmp_path: Path
) -> None:
    """A record that was written but not committed is written again, once."""
    rejects = tmp_path / "bad.csv"
    bad = dict.fromkeys((5, 15, 25, 35), "1,2,3,4\n")
    path = csv_file(body(40, bad))
    with pytest.raises(TransferError):
        import_csv(people, "people", path, ImportOptions(batch=10, rejects=rejects, max_rejects=2))
    assert ids(people) == [n for n in range(20) if n not in bad]
    people.rollback()
    with rejects.open("ab") as file:
        file.write(b"what a crash left\n")
    options = ImportOptions(batch=10, rejects=rejects, resume=True)
    result = import_csv(people, "people", path, options)
    assert (result.rows_resumed, result.rows_loaded) == (18, 18)
    assert rejects.read_bytes() == HEADER.encode() + b"1,2,3,4\n" * 4
    assert ids(people) == [n for n in range(40) if n not in bad]


@pytest.mark.parametrize("victim", ["client", "backend", "server"])
def test_whatever_is_killed_no_row_is_lost_or_doubled(
    own_server: Server, csv_file: Any, tmp_path: Path, victim: str
) -> None:
    """Again and again at random moments; the ledger and the table always agree."""
    chance = random.Random(victim)
    bad = dict.fromkeys((7, 555, 2999), "-,x,1\n")
    path, rejects = csv_file(body(3000, bad)), tmp_path / "bad.csv"
    dsn = psycopg.conninfo.make_conninfo(**own_server.keywords())
    with psycopg.connect(dsn) as connection:
        create_people(connection)
    for _ in range(4):
        strike(own_server, dsn, [str(path), str(rejects)], victim, chance.randrange(1, 8))
        with psycopg.connect(dsn) as connection:
            loaded = ids(connection)
            (state,) = connection.execute("SELECT record, loaded FROM pgstrata_imports").fetchall()
        assert loaded == [n for n in range(state[0] - 1) if n not in bad]
        assert state[1] == len(loaded)
    with psycopg.connect(dsn) as connection:
        options = ImportOptions(batch=100, resume=True, rejects=rejects, max_rejects=1000)
        import_csv(connection, "people", path, options)
        assert ids(connection) == [n for n in range(3000) if n not in bad]
    assert rejects.read_bytes() == HEADER.encode() + b"-,x,1\n" * 3


def strike(server: Server, dsn: str, arguments: list[str], victim: str, after: int) -> None:
    """Import in another process, and kill the victim after some reports."""
    command = [sys.executable, "-c", PROGRAM, *arguments]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(dsn + "\n")
        process.stdin.flush()
        for _ in range(after):
            process.stdout.readline()
        if victim == "client":
            process.kill()
        elif victim == "backend":
            server.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
        else:
            server.stop("immediate")
            process.wait()
            server.start()


def test_rows_that_were_appended_since_are_loaded(
    people: psycopg.Connection[Any], csv_file: Any
) -> None:
    """But not to a record that has grown."""
    path = csv_file(body(20))
    options = ImportOptions(batch=10, resume=True)
    import_csv(people, "people", path, options)
    csv_file(body(20) + "20,x,1")
    assert import_csv(people, "people", path, options).rows_loaded == 1
    csv_file(body(20) + "20,x,12")
    with pytest.raises(InputError, match=r"has changed"):
        import_csv(people, "people", path, options)
