from __future__ import annotations

import asyncio
import csv
import gzip
import io
import os
import re
import stat
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgstrata.errors import UsageError
from pgstrata.tables import (
    ExportOptions,
    ImportOptions,
    InputError,
    Progress,
    TransferError,
    export_csv,
    export_csv_async,
    export_schema,
    import_csv,
)

if TYPE_CHECKING:
    from tests.servers import Server

ROWS = '1,,\n2,"",1.50\n3,"a\n""b"",",NaN\n'


@pytest.fixture
def filled(connection: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Return a connection to a database with a small table."""
    connection.execute(
        "CREATE TABLE t (id int, txt text, amount numeric,"
        " twice numeric GENERATED ALWAYS AS (amount * 2) STORED);"
        "INSERT INTO t (id, txt, amount) VALUES (1, NULL, NULL), (2, '', 1.50),"
        " (3, E'a\\n\"b\",', 'NaN')"
    )
    connection.commit()
    return connection


def test_a_table_becomes_a_file(filled: psycopg.Connection[Any], tmp_path: Path) -> None:
    """NULL is nothing, empty text is quoted nothing; generated columns stay behind."""
    path = tmp_path / "t.csv"
    seen: list[Progress] = []
    result = export_csv(filled, "t", path, progress=seen.append)
    assert path.read_text() == "id,txt,amount\n" + ROWS
    assert (result.rows, result.bytes, result.files) == (3, path.stat().st_size, (str(path),))
    assert (seen[-1].rows, seen[-1].bytes) == (3, result.bytes)
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["t.csv"]


@pytest.mark.parametrize(
    ("what", "options", "expected"),
    [
        ("t", {"columns": ["amount", "id"], "where": "id < 3"}, "amount,id\n,1\n1.50,2\n"),
        ("t", {"columns": ["id"], "order": "id DESC", "header": False}, "3\n2\n1\n"),
        ("t", {"columns": ["twice"], "where": "id = 2"}, "twice\n3.00\n"),
        ('SELECT 1 AS a, NULL AS "B c"', {"query": True}, "a,B c\n1,\n"),
        ("SELECT '100%' AS p", {"query": True, "quoted": ["p"]}, 'p\n"100%"\n'),
        ("v", {}, "id\n1\n2\n3\n"),
        ("m", {}, "id\n1\n2\n3\n"),
        ("p", {}, "id\n1\n"),
        ("SELECT 1 AS a -- one", {"query": True}, "a\n1\n"),
        ("SELECT 1 AS a;\n", {"query": True}, "a\n1\n"),
        ("t", {"columns": ["id"], "where": "id > 1 -- c", "order": "id DESC -- c"}, "id\n3\n2\n"),
        ("t", {"columns": ["txt"], "null": "NULL", "where": "id < 3"}, "txt\nNULL\n\n"),
        ("t", {"delimiter": ";", "quote": "'", "columns": ["txt"], "where": "id = 3"},
         "txt\n'a\n\"b\",'\n"),
    ],
)  # fmt: skip
def test_what_can_be_exported(
    filled: psycopg.Connection[Any], what: str, options: Any, expected: str
) -> None:
    """Tables, views, partitions and queries, chosen and written in many ways."""
    filled.execute(
        "CREATE VIEW v AS SELECT id FROM t ORDER BY id;"
        "CREATE MATERIALIZED VIEW m AS SELECT id FROM t ORDER BY id;"
        "CREATE TABLE p (id int) PARTITION BY LIST (id);"
        "CREATE TABLE p1 PARTITION OF p DEFAULT; INSERT INTO p VALUES (1)"
    )
    out = io.BytesIO()
    export_csv(filled, what, out, ExportOptions(**options))
    assert out.getvalue().decode() == expected


def test_the_name_of_the_file_says_how_it_is_compressed(
    filled: psycopg.Connection[Any], tmp_path: Path
) -> None:
    """Or an option does; the same rows give the same bytes."""
    one, two = tmp_path / "a.csv.gz", tmp_path / "b.bin"
    export_csv(filled, "t", one)
    export_csv(filled, "t", two, ExportOptions(compression="gz"))
    assert one.read_bytes() == two.read_bytes()
    assert gzip.decompress(one.read_bytes()).decode().endswith(ROWS)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1250", "cp852"])
def test_encodings(filled: psycopg.Connection[Any], csv_file: Any, encoding: str) -> None:
    """What is written in one can be read from it again."""
    filled.execute("CREATE TABLE e (t text); INSERT INTO e VALUES ('žluťoučký')")
    out = io.BytesIO()
    export_csv(filled, "e", out, ExportOptions(encoding=encoding))
    assert out.getvalue().decode(encoding) == "t\nžluťoučký\n"
    import_csv(filled, "e", csv_file(out.getvalue()), ImportOptions(encoding=encoding))
    assert filled.execute("SELECT t FROM e").fetchall() == [("žluťoučký",)] * 2


def test_a_character_that_an_encoding_lacks(
    filled: psycopg.Connection[Any], tmp_path: Path
) -> None:
    """It is an error, not a question mark, and there is no file."""
    filled.execute("INSERT INTO t (txt) VALUES ('日本')")
    for encoding in ("cp1252", "cp852"):
        options = ExportOptions(encoding=encoding)
        with pytest.raises(TransferError):
            export_csv(filled, "t", tmp_path / "x.csv", options)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten_unasked(filled: psycopg.Connection[Any], csv_file: Any) -> None:
    """And a failed export leaves the old file."""
    path = csv_file("old")
    with pytest.raises(InputError, match=r"exists"):
        export_csv(filled, "t", path)
    query = "SELECT 1 / (3 - n) FROM generate_series(1, 9) n"
    with pytest.raises(TransferError, match=r"division by zero"):
        export_csv(filled, query, path, ExportOptions(query=True, overwrite=True))
    assert path.read_text() == "old"
    export_csv(filled, "t", path, ExportOptions(overwrite=True))
    assert path.read_text() != "old"


def test_a_link_that_leads_nowhere_is_not_replaced_unasked(
    filled: psycopg.Connection[Any], tmp_path: Path
) -> None:
    """Somebody has put it there."""
    link = tmp_path / "out.csv"
    link.symlink_to(tmp_path / "gone")
    with pytest.raises(InputError, match=r"exists"):
        export_csv(filled, "t", link)
    assert link.is_symlink()


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
def test_a_full_disk(filled: psycopg.Connection[Any]) -> None:
    """The error says so, and the connection can be used again."""
    options = ExportOptions(query=True)
    query = "SELECT repeat('x', 1000) FROM generate_series(1, 100000)"
    with Path("/dev/full").open("wb", buffering=0) as full:
        for target in (full, "/dev/full"):
            with pytest.raises(TransferError, match=r"cannot write /dev/full: No space"):
                export_csv(filled, query, target, options)
            with pytest.raises(TransferError, match=r"cannot write /dev/full: No space"):
                export_csv(filled, "t", target)  # so few rows that they come at the end
    assert filled.execute("SELECT 1").fetchall() == [(1,)]


def test_a_lost_connection_leaves_no_file(
    filled: psycopg.Connection[Any], server: Server, tmp_path: Path
) -> None:
    """A backend that ends in the middle."""
    query = "SELECT n, CASE WHEN n = 90000 THEN pg_terminate_backend(pg_backend_pid()) END"
    query += " FROM generate_series(1, 100000) n"
    with pytest.raises(TransferError):
        export_csv(filled, query, tmp_path / "x.csv", ExportOptions(query=True))
    assert list(tmp_path.iterdir()) == []


def test_a_spreadsheet_runs_nothing(filled: psycopg.Connection[Any]) -> None:
    """Text that looks like a formula gets an apostrophe; numbers do not."""
    filled.execute("INSERT INTO t (id, txt, amount) VALUES (4, '=1+1', -5)")
    for what, query in (("t", False), ("SELECT id, txt, amount FROM t", True)):
        out = io.BytesIO()
        result = export_csv(filled, what, out, ExportOptions(spreadsheet_safe=True, query=query))
        assert b"4,'=1+1,-5\n" in out.getvalue()
        assert not result.round_trip


def test_a_schema_is_exported_as_of_one_moment(
    filled: psycopg.Connection[Any], server: Server, tmp_path: Path
) -> None:
    """One file for each table, whose name keeps schema and table."""
    filled.execute('CREATE SCHEMA "my/s"; CREATE TABLE "my/s"."a b" (id int)')
    filled.execute('CREATE TABLE "my/s".c AS SELECT 1 AS id')
    filled.commit()

    def insert(_: Progress) -> None:
        server.sql('INSERT INTO "my/s".c VALUES (2)', filled.info.dbname)

    result = export_schema(filled, "my/s", tmp_path / "out", progress=insert)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["my_s.a_b.csv", "my_s.c.csv"]
    assert (tmp_path / "out" / "my_s.c.csv").read_text() == "id\n1\n"
    assert (result.rows, len(result.files)) == (1, 2)
    assert (result.compression, result.round_trip) == ("none", True)
    safe = ExportOptions(spreadsheet_safe=True, overwrite=True)
    assert not export_schema(filled, "my/s", str(tmp_path / "out"), safe).round_trip


def test_tables_whose_files_would_have_one_name(
    filled: psycopg.Connection[Any], tmp_path: Path
) -> None:
    """Neither is lost: nothing is written at all."""
    filled.execute('CREATE TABLE "a b" AS SELECT 1 AS n; CREATE TABLE "A_b" AS SELECT 2 AS n')
    with pytest.raises(InputError, match=r"would both be written to public\.a_b\.csv"):
        export_schema(filled, "public", tmp_path, ExportOptions(overwrite=True))
    assert list(tmp_path.iterdir()) == []


def test_what_inherits_from_a_table(filled: psycopg.Connection[Any]) -> None:
    """A query would find it too."""
    filled.execute("CREATE TABLE parent (n int); CREATE TABLE child () INHERITS (parent)")
    filled.execute("INSERT INTO child VALUES (1)")
    assert export_csv(filled, "parent", io.BytesIO()).rows == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in the file system")
def test_a_pipe_stays_a_pipe(filled: psycopg.Connection[Any], tmp_path: Path) -> None:
    """What reads from it gets the rows."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as threads:
        reading = threads.submit(pipe.read_bytes)
        export_csv(filled, "SELECT 1 AS n", pipe, ExportOptions(query=True))
        assert reading.result(30) == b"n\n1\n"
    assert pipe.is_fifo()


def test_a_file_of_another_name_is_left_alone(
    filled: psycopg.Connection[Any], tmp_path: Path
) -> None:
    """However like the name of a half-written one it looks."""
    other = tmp_path / "t.csv.part"
    other.write_text("mine")
    export_csv(filled, "t", tmp_path / "t.csv")
    assert other.read_text() == "mine"


def test_a_query_is_complete_in_itself() -> None:
    """Options that choose from a table do not go with it."""
    with pytest.raises(UsageError):
        ExportOptions(query=True, where="true")


async def test_the_asynchronous_function(filled: psycopg.Connection[Any], server: Server) -> None:
    """The same bytes."""
    out = io.BytesIO()
    keywords = server.keywords(dbname=filled.info.dbname)
    async with await psycopg.AsyncConnection.connect(**keywords) as aconn:
        await export_csv_async(aconn, "t", out)
    assert out.getvalue().decode() == "id,txt,amount\n" + ROWS


TYPES = {
    "i": ("int8", st.integers(-(2**63), 2**63 - 1).map(str)),
    "n": ("numeric", st.decimals(allow_nan=False, allow_infinity=False).map(str)),
    "f": ("float8", st.floats().map(repr)),
    "t": ("text", st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))),
    "b": ("bytea", st.binary().map(lambda data: "\\x" + data.hex())),
    "d": ("date", st.dates().map(str)),
    "s": ("timestamptz", st.datetimes().map(lambda when: f"{when}+00")),
    "j": ("jsonb", st.sampled_from(["null", '{"a": [1, "x\\ny"]}', '"\\""'])),
    "a": ("text[]", st.sampled_from(["{}", '{NULL,"NULL","",a}', '{{1,"a,b"},{"\\"",x}}'])),
}
values = st.fixed_dictionaries({name: st.none() | kind for name, (_, kind) in TYPES.items()})
dialects = st.sampled_from(
    [{}, {"delimiter": ";"}, {"delimiter": "\t", "null": "\\N"}, {"quote": "'"}, {"escape": "\\"}]
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=st.lists(values, max_size=6), dialect=dialects)
def test_what_is_exported_comes_back_exactly(
    connection: psycopg.Connection[Any], rows: list[dict[str, Any]], dialect: dict[str, str]
) -> None:
    """Any values of these types in any dialect, by comparison on the server."""
    columns = ", ".join(f"{name} {kind}" for name, (kind, _) in TYPES.items())
    connection.rollback()
    connection.execute("DROP TABLE IF EXISTS one, two")
    connection.execute(f"CREATE TABLE one ({columns}); CREATE TABLE two (LIKE one)".encode())
    marks = ", ".join(f"%({name})s::text::{kind}" for name, (kind, _) in TYPES.items())
    for row in rows:
        connection.execute(f"INSERT INTO one VALUES ({marks})".encode(), row)
    out = io.BytesIO()
    export_csv(connection, "one", out, ExportOptions(**dialect))  # type: ignore[arg-type]  # texts
    import_csv(connection, "two", io.BytesIO(out.getvalue()), ImportOptions(**dialect))  # type: ignore[arg-type]  # texts
    difference = "(TABLE one EXCEPT ALL TABLE two) UNION ALL (TABLE two EXCEPT ALL TABLE one)"
    assert connection.execute(difference.encode()).fetchall() == []
    connection.rollback()


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.none() | st.text(st.sampled_from('a,"\n\r\\.;\t '), max_size=4), max_size=5))
def test_one_column_of_awkward_texts_comes_back(
    connection: psycopg.Connection[Any], texts: list[str | None]
) -> None:
    """Blank lines, lone quotes, carriage returns and end-of-data marks."""
    connection.rollback()
    connection.execute("DROP TABLE IF EXISTS one, two; CREATE TABLE one (t text, n serial)")
    for text in texts:
        connection.execute("INSERT INTO one (t) VALUES (%s)", [text])
    out = io.BytesIO()
    export_csv(connection, "one", out, ExportOptions(columns=["t"]))
    connection.execute("CREATE TABLE two (t text, n serial)")
    import_csv(connection, "two", io.BytesIO(out.getvalue()))
    assert connection.execute("SELECT t FROM two ORDER BY n").fetchall() == [(t,) for t in texts]
    assert len(list(csv.reader(io.StringIO(out.getvalue().decode(), newline="")))) == len(texts) + 1
    connection.rollback()


@pytest.mark.parametrize("compression", ["none", "gz"])
def test_what_a_stream_refuses(filled: psycopg.Connection[Any], compression: Any) -> None:
    """It may have no words of the system for that."""
    options = ExportOptions(compression=compression)
    with Path(os.devnull).open("rb") as wrong, pytest.raises(TransferError, match=r"cannot write"):
        export_csv(filled, "t", wrong, options)
    assert filled.execute("SELECT 1").fetchall() == [(1,)]


def test_a_reader_that_goes_away(filled: psycopg.Connection[Any]) -> None:
    """That is for the program to judge, as the command line does: it ends."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb", buffering=0) as pipe, pytest.raises(BrokenPipeError):
        export_csv(filled, "t", pipe)


def test_a_folder_that_cannot_be_made(filled: psycopg.Connection[Any], csv_file: Any) -> None:
    """A file is there."""
    path = csv_file("mine")
    with pytest.raises(TransferError, match=re.escape(f"cannot write {path}: ")):
        export_schema(filled, "public", path)
    assert path.read_text() == "mine"


def files_in(folder: Path) -> list[Path]:
    """Return what is there."""
    return list(folder.iterdir())


async def test_the_disk_does_not_block_the_loop(
    filled: psycopg.Connection[Any],
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And who is cancelled while it is waited for leaves no file."""
    began, ends, loop = asyncio.Event(), threading.Event(), asyncio.get_running_loop()

    def slow(_: int) -> None:
        loop.call_soon_threadsafe(began.set)
        assert ends.wait(20)

    monkeypatch.setattr(os, "fsync", slow)
    keywords = server.keywords(dbname=filled.info.dbname)
    async with await psycopg.AsyncConnection.connect(**keywords) as connection:
        task = asyncio.create_task(export_csv_async(connection, "t", tmp_path / "t.csv"))
        await began.wait()
        task.cancel()
        await asyncio.sleep(0)
        assert files_in(tmp_path)
        ends.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not files_in(tmp_path)
