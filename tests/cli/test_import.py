from __future__ import annotations

import gzip
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.cli.conftest import SERVER, Cli, fresh
from tests.servers import PASSWORD, Server

HEADER = "id,name,amount\n"
GOOD = HEADER + '1,Ada,1.5\n2,,\n3,"",3\n'
BAD = HEADER + "1,Ada,1.5\n2,Alan,x\n3,Grace,3\n"


@pytest.fixture
def good(project: Path) -> str:
    """Return the name of a file that fits."""
    return file(project, GOOD)


def file(project: Path, text: str, name: str = "people.csv") -> str:
    """Write a file and return its name."""
    (project / name).write_text(text, newline="")
    return name


def rows(connection: psycopg.Connection[Any], what: str = "id, name, amount::float") -> list[Any]:
    """Return what is in the table."""
    return connection.execute(f"SELECT {what} FROM people ORDER BY id".encode()).fetchall()


def test_rows_go_in_and_the_summary_says_so(
    cli: Cli, people: psycopg.Connection[Any], good: str, server: Server, own_database: str
) -> None:
    """Before the first row: where to, and what was found; the result is on stdout."""
    done = cli("import", "people", good)
    assert done.code == 0
    assert done.out.startswith("people: 3 rows loaded, of 3 rows read; 36 bytes in ")
    where = f"database {own_database} on 127.0.0.1:{server.port} as postgres, no TLS"
    assert done.err.splitlines() == [
        f"pgstrata: development: {where}, PostgreSQL {server.version}",
        'pgstrata: people.csv -> public.people: utf-8, delimiter ,  quote "  LF, header',
        "pgstrata:   columns: id, name, amount",
    ]
    assert rows(people) == [(1, "Ada", 1.5), (2, None, None), (3, "", 3.0)]


def test_json(cli: Cli, people: psycopg.Connection[Any], good: str) -> None:
    """The shape that a program reads: what went where, and how the file was understood."""
    shape = cli("import", "people", good, "--format", "json").json
    assert (shape["environment"], shape["connection"]) == ("development", "default")
    assert (shape["rows_read"], shape["rows_loaded"], shape["rows_rejected"]) == (3, 3, 0)
    assert (shape["bytes"], shape["committed"], shape["dry_run"]) == (36, True, False)
    assert shape["plans"][0]["columns"] == ["id", "name", "amount"]


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("1;Ada;2\n", ["--no-header"], (1, "Ada", 2)),
        ("note\nid,name\n1,Ada\n", ["--skip", "1"], (1, "Ada", None)),
        ("id\tname\n1\tAda\n", ["--delimiter", "tab"], (1, "Ada", None)),
        ("id,name\n1,'A,b'\n", ["--quote", "'"], (1, "A,b", None)),
        ('id,name\n1,"a\\"b"\n', ["--escape", "\\"], (1, 'a"b', None)),
        ("id,name\n1,NIX\n", ["--null", "NIX"], (1, None, None)),
        ('id,name\n1,""\n', ["--empty-as-null"], (1, None, None)),
        ("Nr,name\n1,Ada\n", ["--map", "Nr=id"], (1, "Ada", None)),
        ("id,name,amount\n1,Ada,2\n", ["--columns", "id, name"], (1, "Ada", None)),
        ("7,1\n", ["--no-header", "--columns", "amount,id"], (1, None, 7)),
        ("id,name\n1,Ada\n", ["--header", "--encoding", "utf-8"], (1, "Ada", None)),
        ("id,name\n1,Ada\n", ["--compression", "none", "--datestyle", "DMY"], (1, "Ada", None)),
    ],
)
def test_what_can_be_said_of_a_file(
    cli: Cli,
    people: psycopg.Connection[Any],
    project: Path,
    text: str,
    options: list[str],
    expected: tuple[Any, ...],
) -> None:
    """Each option does what its help says."""
    done = cli("import", "people", file(project, text), *options)
    assert (done.code, rows(people)) == (0, [expected]), done.err


def test_several_files_a_pattern_and_a_packed_one(
    cli: Cli, people: psycopg.Connection[Any], project: Path
) -> None:
    """All are one import; what is as before is said in short."""
    file(project, "id\n2\n", "part-b.csv")
    file(project, "id\n1\n", "part-a.csv")
    (project / "z.csv.gz").write_bytes(gzip.compress(b"id\n3\n"))
    done = cli("import", "people", "part-*.csv", "z.csv.gz")
    assert done.out.startswith("people: 3 rows loaded, of 3 rows read;")
    assert "part-b.csv -> public.people: as before" in done.err
    assert "z.csv.gz -> public.people: gz, utf-8" in done.err
    assert rows(people, "id") == [(1,), (2,), (3,)]


def test_a_name_with_signs_of_a_pattern(
    cli: Cli, people: psycopg.Connection[Any], project: Path
) -> None:
    """A file that is there is meant as it is written."""
    file(project, "id\n1\n", "a[1].csv")
    assert cli("import", "people", "a[1].csv").code == 0
    done = cli("import", "people", "b[1].csv")
    assert (done.code, done.out) == (2, "")
    assert "no file matches b[1].csv" in done.err


def test_stdin(cli: Cli, people: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Packed or not, and once only."""
    packed = io.TextIOWrapper(io.BytesIO(gzip.compress(GOOD.encode())))
    monkeypatch.setattr(sys, "stdin", packed)
    assert cli("import", "people", "-").out.startswith("people: 3 rows loaded")
    assert cli("import", "people", "-", "-").code == 2


def test_a_server_that_is_not_there(cli: Cli, good: str, write: Callable[..., None]) -> None:
    """The error is that of connecting, with its own hint: no server has refused anything."""
    write(base=SERVER.format(host="127.0.0.1", port=1, user="x", password="x"), development="")
    done = cli("import", "people", good)
    assert done.code == 1
    assert "Connection refused" in done.err
    assert "the server refused" not in done.err
    assert "hint: " in done.err


def test_a_bad_row_undoes_all(cli: Cli, people: psycopg.Connection[Any], project: Path) -> None:
    """The error names file, line, record, column, value and reason."""
    done = cli("import", "people", file(project, BAD))
    assert (done.code, done.out, rows(people)) == (1, "", [])
    assert "people.csv:3: record 2, column \"amount\", value 'x': invalid input" in done.err
    assert "--rejects" in done.err


def test_rejects(cli: Cli, people: psycopg.Connection[Any], project: Path) -> None:
    """The good rows are in, the bad one is in a file as it was, with the reason beside it."""
    done = cli("import", "people", file(project, BAD), "--rejects", "bad.csv")
    assert done.code == 4
    assert done.out.startswith("people: 2 rows loaded, 1 rejected, of 3 rows read;")
    assert done.out.endswith("rejects: bad.csv, reasons: bad.csv.jsonl\n")
    assert (project / "bad.csv").read_text() == HEADER + "2,Alan,x\n"
    reason = json.loads((project / "bad.csv.jsonl").read_text())
    assert (reason["line"], reason["column"], reason["sqlstate"]) == (3, "amount", "22P02")
    again = cli("import", "people", "people.csv", "--rejects", "bad.csv")
    assert (again.code, "--force" in again.err) == (3, True)


def test_too_many_rejects(cli: Cli, people: psycopg.Connection[Any], project: Path) -> None:
    """Nothing is kept, and what was found is in the file."""
    text = HEADER + "1,a,x\n2,b,y\n3,c,3\n"
    options = ("--rejects", "bad.csv", "--max-rejects", "1")
    done = cli("import", "people", file(project, text), *options)
    assert (done.code, done.out, rows(people)) == (1, "", [])
    assert "more than 1 bad row" in done.err


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--truncate"], [(1, "new")]),
        (["--replace"], [(1, "new")]),
        (["--upsert", "id"], [(1, "new"), (2, "old")]),
        (["--on-conflict", "update"], [(1, "new"), (2, "old")]),
        (["--on-conflict", "skip", "--key", "id"], [(1, "old"), (2, "old")]),
    ],
)
def test_rows_meet_those_that_are_there(
    cli: Cli,
    people: psycopg.Connection[Any],
    project: Path,
    options: list[str],
    expected: list[Any],
) -> None:
    """They make way, change or stay; without an option they are an error."""
    people.execute("INSERT INTO people VALUES (1, 'old'), (2, 'old')")
    name = file(project, "id,name\n1,new\n")
    assert cli("import", "people", name).code == 1
    done = cli("import", "people", name, *options)
    assert (done.code, rows(people, "id, name")) == (0, expected), done.err


@pytest.mark.parametrize(
    "options",
    [
        ["--truncate", "--replace"],
        ["--upsert", "id", "--on-conflict", "skip"],
        ["--upsert", "id", "--key", "id"],
        ["--upsert", "name"],
        ["--resume"],
        ["--batch", "2", "--verify"],
        ["--columns", "a,,b"],
        ["--map", "id"],
        ["--delimiter", "ab"],
        ["--encoding", "klingon"],
    ],
)
def test_wrong_usage(
    cli: Cli, people: psycopg.Connection[Any], good: str, options: list[str]
) -> None:
    """What cannot be is said before anything is sent."""
    done = cli("import", "people", good, *options)
    assert (done.code, done.out, rows(people)) == (2, "", []), done.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "people.csv is empty"),
        ("id,nmae\n1,2\n", "did you mean name?"),
        ("name\nx\n", 'no field for "id"'),
    ],
)
def test_a_file_that_does_not_fit(
    cli: Cli, people: psycopg.Connection[Any], project: Path, text: str, said: str
) -> None:
    """Exit code 3, and what would fit."""
    done = cli("import", "people", file(project, text))
    assert (done.code, done.out) == (3, "")
    assert said in done.err


def test_only_a_header(cli: Cli, people: psycopg.Connection[Any], project: Path) -> None:
    """No rows are no error."""
    done = cli("import", "people", file(project, HEADER))
    assert (done.code, done.out.split(";")[0]) == (0, "people: 0 rows loaded, of 0 rows read")


def test_no_such_table(cli: Cli, people: psycopg.Connection[Any], good: str) -> None:
    """The nearest one is named."""
    done = cli("import", "peple", good)
    assert (done.code, "did you mean public.people?" in done.err) == (3, True)


def test_create(cli: Cli, people: psycopg.Connection[Any], good: str) -> None:
    """The statement is shown, and a dry run leaves no table."""
    dry = cli("import", "made", good, "--create", "--sample", "2", "--dry-run")
    assert dry.out.endswith("dry run: nothing was kept\n")
    assert 'CREATE TABLE "made"' in dry.err
    assert people.execute("SELECT to_regclass('made')").fetchone() == (None,)
    assert cli("import", "made", good, "--create").code == 0
    found = people.execute("SELECT pg_typeof(amount)::text FROM made LIMIT 1").fetchone()
    assert found == ("numeric",)


def test_a_doubt_is_said(cli: Cli, people: psycopg.Connection[Any], project: Path) -> None:
    """What was guessed is never silent."""
    (project / "old.csv").write_bytes("id,name\n1,Café\n".encode("cp1252"))
    done = cli("import", "people", "old.csv")
    assert (done.code, rows(people, "name")) == (0, [("Café",)])
    assert "doubt: not UTF-8: read as cp1252" in done.err


def test_batches_and_going_on(cli: Cli, people: psycopg.Connection[Any], project: Path) -> None:
    """A bad row leaves what was committed, says how much, and the mended file goes on there."""
    lines = [f"{n},x,{n}\n" for n in range(10)]
    broken = file(project, HEADER + "".join([*lines[:7], "7,x,y\n", *lines[8:]]))
    done = cli("import", "people", broken, "--batch", "3")
    assert (done.code, len(rows(people))) == (5, 6)
    assert "6 rows of people are committed; the next batch failed: people.csv:9:" in done.err
    assert cli("import", "people", broken, "--batch", "3").code == 2
    file(project, HEADER + "".join(lines))
    again = cli("import", "people", broken, "--batch", "3", "--resume")
    assert again.out.splitlines()[1] == "resumed: 6 rows were in from before"
    assert rows(people, "id") == [(n,) for n in range(10)]


def test_several_connections(cli: Cli, people: psycopg.Connection[Any], good: str) -> None:
    """All or nothing too."""
    assert cli("import", "people", good, "--jobs", "2").out.startswith("people: 3 rows loaded")
    assert cli("import", "people", good, "--jobs", "2").code == 1
    assert len(rows(people)) == 3


def test_verify(cli: Cli, people: psycopg.Connection[Any], good: str) -> None:
    """What a trigger changes is found, and undone."""
    done = cli("import", "people", good, "--verify")
    assert "verified: counts and checksums of file and table" in done.out
    people.execute(
        "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN new.name := 'spoilt'; RETURN new; END$$;"
        "CREATE TRIGGER spoil BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION spoil()"
    )
    done = cli("import", "people", good, "--truncate", "--verify")
    assert (done.code, rows(people, "name")) == (1, [("Ada",), (None,), ("",)])
    assert "a trigger changes values" in done.err


def test_a_protected_environment(cli: Cli, people: psycopg.Connection[Any], good: str) -> None:
    """It has to be named twice."""
    refused = cli("import", "people", good, "-e", "production", "--yes-protected", "staging")
    assert (refused.code, rows(people)) == (2, [])
    assert "hint: --yes-protected production" in refused.err
    done = cli("import", "people", good, "-e", "production", "--yes-protected", "production")
    assert done.code == 0


def test_a_table_one_may_not_write(
    cli: Cli, people: psycopg.Connection[Any], good: str, server: Server, own_database: str
) -> None:
    """The server's own words, no traceback, and no password."""
    role = f"reader_{own_database}"
    people.execute(
        f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'; GRANT SELECT ON people TO {role}"
    )
    user = {"PGSTRATA_CONNECTION_SETTINGS__USER": role}
    for jobs in ("1", "2"):
        done = fresh("import", "people", good, "--jobs", jobs, **user)
        assert (done.code, done.out) == (1, "")
        assert "permission denied for table people" in done.err
        assert "Traceback" not in done.err
        assert PASSWORD not in done.err
    people.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="what is open has no path")
@pytest.mark.parametrize(
    "options", [[], ["--create"], ["--verify"], ["--truncate", "--rejects", "bad.csv"]]
)
def test_a_pipe_that_has_a_path(
    cli: Cli, people: psycopg.Connection[Any], options: list[str]
) -> None:
    """So do ``<(…)`` and ``/dev/stdin`` come."""
    reading, writing = os.pipe()
    os.write(writing, GOOD.encode())
    os.close(writing)
    done = cli(
        "import", "made" if "--create" in options else "people", f"/dev/fd/{reading}", *options
    )
    os.close(reading)
    assert done.code == 0, done.err
    assert " 3 rows loaded, of 3 rows read; 36 bytes in " in done.out
