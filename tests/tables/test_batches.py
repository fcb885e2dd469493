from __future__ import annotations

import random
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from tests.servers import Server
from tests.tables.conftest import create_people, strike_at

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


def fill(people: psycopg.Connection[Any], *numbers: int) -> None:
    """Put rows into the table."""
    for number in numbers:
        people.execute("INSERT INTO people (id) VALUES (%s)", [number])
    people.commit()


def test_an_unfinished_import_is_refused_before_the_table_is_emptied(
    people: psycopg.Connection[Any], csv_file: Any
) -> None:
    """So what its resumption relies on is still there."""
    path = csv_file(body(50, {33: "33,a,x\n"}))
    options = ImportOptions(batch=10, mode="truncate")
    for error in (PartialTransferError, UsageError):
        with pytest.raises(error):
            import_csv(people, "people", path, options)
        assert ids(people) == list(range(30))
        people.rollback()


@pytest.mark.parametrize("resume", [False, True])
def test_a_first_run_empties_the_table(
    people: psycopg.Connection[Any], csv_file: Any, *, resume: bool
) -> None:
    """Also one that would resume."""
    fill(people, 999)
    options = ImportOptions(batch=10, mode="truncate", resume=resume)
    import_csv(people, "people", csv_file(body(3)), options)
    assert ids(people) == [0, 1, 2]


@pytest.mark.parametrize(
    ("table", "options", "said"),
    [("people", {"mode": "truncate"}, "emptied"), ("fresh", {"create": True}, "created")],
)
def test_a_first_batch_that_fails_says_what_became_of_the_table(
    people: psycopg.Connection[Any], csv_file: Any, table: str, options: Any, said: str
) -> None:
    """It is not as it was; and beginning again is as good as resuming."""
    fill(people, 999)
    bad = csv_file(HEADER + "1,a,1\n2,b,1,5\n")
    what = rf"^0 rows of {table} are committed, and the table was {said} before; the next batch"
    with pytest.raises(PartialTransferError, match=what):
        import_csv(people, table, bad, ImportOptions(batch=10, **options))
    good = csv_file(HEADER + "1,a,1\n")
    import_csv(people, table, good, ImportOptions(batch=10))
    assert people.execute(f"SELECT id FROM {table}".encode()).fetchall() == [(1,)]


def test_a_resumed_run_that_fails_at_once_still_counts_the_rows_before(
    people: psycopg.Connection[Any], csv_file: Any
) -> None:
    """They are in the table whoever has put them there."""
    path = csv_file(body(50, {33: "33,a,x\n"}))
    for resume in (False, True):
        with pytest.raises(PartialTransferError, match=r"^30 rows of people are committed; "):
            import_csv(people, "people", path, ImportOptions(batch=10, resume=resume))


def test_of_two_runs_at_once_one_gives_up(
    people: psycopg.Connection[Any], server: Server, csv_file: Any
) -> None:
    """Before it loads a record that the other has loaded."""
    path, options = csv_file(body(50)), ImportOptions(batch=10, resume=True)
    commits: list[Any] = []

    def other() -> None:
        commits.append(None)
        if len(commits) == 3:
            with psycopg.connect(**server.keywords(dbname=people.info.dbname)) as connection:
                commits.append(import_csv(connection, "people", path, options))

    strike_at(people, "COMMIT", other, after=True)
    with pytest.raises(PartialTransferError, match=r"^20 rows.*another run has gone on"):
        import_csv(people, "people", path, options)
    assert (commits[3].rows_resumed, commits[3].rows_loaded) == (20, 30)
    assert ids(people) == list(range(50))


def test_resuming_another_name_or_other_columns_is_refused(
    people: psycopg.Connection[Any], csv_file: Any
) -> None:
    """While the import that may be meant has not ended; its id leads to it."""
    path = csv_file(body(50, {33: "33,a,x\n"}))
    with pytest.raises(PartialTransferError):
        import_csv(people, "people", path, ImportOptions(batch=10))
    mended = csv_file(body(50), "mended.csv")
    options: dict[str, Any] = {"batch": 10, "resume": True}
    given = ""
    for other, columns in ((mended, None), (path, ["id", "amount"])):
        with pytest.raises(UsageError, match=r"one of people.csv has committed 30 rows") as error:
            import_csv(people, "people", other, ImportOptions(columns=columns, **options))
        given = error.value.hint.split()[1]
    result = import_csv(people, "people", mended, ImportOptions(import_id=given, **options))
    assert (result.rows_resumed, result.rows_loaded) == (30, 20)


@pytest.mark.parametrize("import_id", ["", "mine"])
def test_files_of_one_name_are_told_apart(
    people: psycopg.Connection[Any], tmp_path: Path, import_id: str
) -> None:
    """Each has its own row in the ledger."""
    files = [tmp_path / "2024" / "d.csv", tmp_path / "2025" / "d.csv"]
    for year, file in enumerate(files):
        file.parent.mkdir()
        file.write_text(f"id\n{year}1\n{year}2\n")
    options = ImportOptions(batch=1, resume=True, import_id=import_id)
    assert import_csv(people, "people", files, options).rows_loaded == 4
    assert import_csv(people, "people", files, options).rows_resumed == 4


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


@pytest.mark.parametrize("left", [HEADER, HEADER + "1,2,3,4\n" * 3, None])
def test_a_reject_file_that_was_changed_is_not_cut(
    people: psycopg.Connection[Any], csv_file: Any, tmp_path: Path, left: str | None
) -> None:
    """Mended or taken away since: refused, or begun anew with the header."""
    rejects = tmp_path / "bad.csv"
    path = csv_file(body(20, dict.fromkeys((5, 15), "1,2,3,4\n")))
    options = ImportOptions(batch=10, rejects=rejects, resume=True)
    import_csv(people, "people", path, options)
    if left is None:
        rejects.unlink()
        rejects.with_name("bad.csv.jsonl").unlink()
    else:
        rejects.write_text(left)
    with path.open("a") as file:
        file.write("9,8,7,6\n")
    if left is None:
        assert import_csv(people, "people", path, options).rows_rejected == 1
        assert rejects.read_text() == HEADER + "9,8,7,6\n"
    else:
        with pytest.raises(InputError, match=r"not as the import .* has left it"):
            import_csv(people, "people", path, options)
        assert rejects.read_text() == left


def test_a_first_run_replaces_no_reject_file(
    people: psycopg.Connection[Any], csv_file: Any, tmp_path: Path
) -> None:
    """Although it would resume: there is nothing to resume."""
    rejects = tmp_path / "bad.csv"
    rejects.write_text("of another import\n")
    options = ImportOptions(batch=10, rejects=rejects, resume=True, mode="truncate")
    fill(people, 999)
    with pytest.raises(InputError, match=r"bad.csv exists"):
        import_csv(people, "people", csv_file(body(20)), options)
    assert (rejects.read_text(), ids(people)) == ("of another import\n", [999])


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


def test_a_table_made_anew_is_filled_from_the_beginning(
    people: psycopg.Connection[Any], csv_file: Any
) -> None:
    """None of the rows that were committed are in it."""
    path = csv_file(body(20, {15: "15,a,x\n"}))
    with pytest.raises(PartialTransferError):
        import_csv(people, "people", path, ImportOptions(batch=10))
    people.rollback()
    people.execute("DROP TABLE people")
    create_people(people)
    people.commit()
    csv_file(body(20))
    result = import_csv(people, "people", path, ImportOptions(batch=10, resume=True))
    assert (result.rows_resumed, result.rows_loaded) == (0, 20)
    assert ids(people) == list(range(20))


@pytest.mark.parametrize("bad", [{}, {15: "15,a,x\n"}])
def test_an_id_is_that_of_one_table(
    people: psycopg.Connection[Any], csv_file: Any, bad: dict[int, str]
) -> None:
    """What is committed elsewhere is not in this one, whether the import has ended or not."""
    path, options = csv_file(body(20, bad)), ImportOptions(batch=10, import_id="nightly")
    with nullcontext() if not bad else pytest.raises(PartialTransferError):
        import_csv(people, "people", path, options)
    people.rollback()
    people.execute("CREATE TABLE others (LIKE people INCLUDING ALL)")
    people.commit()
    with pytest.raises(UsageError, match=r"nightly is that of another table"):
        import_csv(people, "others", path, replace(options, resume=True))
    assert people.execute("SELECT count(*) FROM others").fetchall() == [(0,)]
