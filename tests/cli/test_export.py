from __future__ import annotations

import gzip
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.cli.conftest import Cli, environment, process

HEADER = "id,name,amount\n"


@pytest.fixture
def filled(people: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Return a connection to a database with three people."""
    people.execute("INSERT INTO people VALUES (1, 'Ada', 1.5), (2, NULL, 2), (3, '', NULL)")
    return people


ALL = HEADER + '1,Ada,1.5\n2,,2\n3,"",\n'


def test_a_table_goes_into_a_file(cli: Cli, filled: psycopg.Connection[Any], project: Path) -> None:
    """From where is shown before; the summary names the file."""
    done = cli("export", "people", "out.csv")
    assert done.code == 0
    assert done.out.startswith("3 rows exported; 36 bytes in ")
    assert done.out.endswith("\nout.csv\n")
    assert done.err.startswith("pgstrata: development: database test_")
    assert (project / "out.csv").read_text() == ALL
    assert [path.name for path in project.glob("out.csv*")] == ["out.csv"]


def test_what_was_exported_is_imported(
    cli: Cli, filled: psycopg.Connection[Any], project: Path
) -> None:
    """Exactly."""
    before = filled.execute("SELECT * FROM people ORDER BY id").fetchall()
    assert cli("export", "people", "out.csv.gz", "--encoding", "utf-16").code == 0
    assert cli("import", "people", "out.csv.gz", "--truncate").code == 0
    assert filled.execute("SELECT * FROM people ORDER BY id").fetchall() == before


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["people", "-"], ALL),
        (["--query", "SELECT 1 AS a, NULL AS b", "-"], "a,b\n1,\n"),
        (["people", "-", "--where", "id > 2", "--no-header"], '3,"",\n'),
        (["people", "-", "--order", "id DESC", "--columns", "id"], "id\n3\n2\n1\n"),
        (["people", "-", "--where", "id = 2", "--null", "NIX"], HEADER + "2,NIX,2\n"),
        (["people", "-", "--where", "id = 1", "--quoted", "id"], HEADER + '"1",Ada,1.5\n'),
        (
            ["people", "-", "--where", "id = 1", "--delimiter", "tab"],
            "id\tname\tamount\n1\tAda\t1.5\n",
        ),
        (["--query", "SELECT 'a''b,' AS a", "-", "--quote", "'"], "a\n'a''b,'\n"),
        (["--query", "SELECT '=1+1' AS a", "-", "--spreadsheet-safe"], "a\n'=1+1\n"),
    ],
)
def test_what_can_be_asked_for(
    cli: Cli, filled: psycopg.Connection[Any], options: list[str], expected: str
) -> None:
    """On stdout is the file and nothing else; the summary is talk."""
    done = cli("export", *options)
    assert (done.code, done.out) == (0, expected), done.err
    assert " exported; " in done.err


def test_the_name_keeps_schema_and_table(
    cli: Cli, filled: psycopg.Connection[Any], project: Path
) -> None:
    """Where none is given; and is safe for every system."""
    filled.execute('CREATE SCHEMA "my/shop"; CREATE TABLE "my/shop"."a b" AS SELECT 1 AS x')
    assert cli("export", "people").out.endswith("\npublic.people.csv\n")
    assert cli("export", '"my/shop"."a b"', "--compression", "gz").code == 0
    assert gzip.decompress((project / "my_shop.a_b.csv.gz").read_bytes()) == b"x\n1\n"
    filled.execute('DROP SCHEMA "my/shop" CASCADE')


def test_nothing_is_overwritten_unasked(
    cli: Cli, filled: psycopg.Connection[Any], project: Path
) -> None:
    """And --force is the way to ask."""
    (project / "out.csv").write_text("precious")
    done = cli("export", "people", "out.csv")
    assert (done.code, "--force" in done.err) == (3, True)
    assert (project / "out.csv").read_text() == "precious"
    assert cli("export", "people", "out.csv", "--force").code == 0
    assert (project / "out.csv").read_text() == ALL


def test_all_tables_of_a_schema(cli: Cli, filled: psycopg.Connection[Any], project: Path) -> None:
    """One file each, in a folder that is made."""
    filled.execute("CREATE TABLE extra AS SELECT 1 AS x")
    shape = cli("export", "--all-tables", "public", "dump", "--format", "json").json
    assert (shape["environment"], shape["rows"]) == ("development", 4)
    assert [Path(file).name for file in shape["files"]] == ["public.extra.csv", "public.people.csv"]
    assert (project / "dump" / "public.people.csv").read_text() == ALL
    assert cli("export", "--all-tables", "nowhere", "dump").code == 3


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--query", "SELECT 1"],
        ["--query", "SELECT 1", "people", "out.csv"],
        ["--query", "SELECT 1", "--all-tables", "public", "out"],
        ["--query", "SELECT 1", "out.csv", "--where", "true"],
        ["--all-tables", "public", "-"],
        ["people", "-", "--format", "json"],
        ["people", "out.csv", "--delimiter", "ab"],
    ],
)
def test_wrong_usage(
    cli: Cli, filled: psycopg.Connection[Any], project: Path, arguments: list[str]
) -> None:
    """It is said, and nothing is written."""
    done = cli("export", *arguments)
    assert (done.code, done.out) == (2, ""), done.err
    assert list(project.glob("*.csv")) == []


def test_what_the_server_refuses(cli: Cli, filled: psycopg.Connection[Any], project: Path) -> None:
    """Leaves no file, also none that is half written."""
    done = cli("export", "--query", "SELECT 1 / (3 - n) FROM generate_series(1, 9) n", "out.csv")
    assert (done.code, done.out) == (1, "")
    assert "nothing was exported: division by zero" in done.err
    assert list(project.glob("out*")) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_a_full_disk(filled: psycopg.Connection[Any], project: Path) -> None:
    """Is an error of one line."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            process("export", "people", "-"),
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            text=True,
        )
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
