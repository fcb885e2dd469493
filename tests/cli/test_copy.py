from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.cli.conftest import Cli
from tests.servers import Server

DDL = "CREATE TABLE people (id int PRIMARY KEY, name text, email text)"
ENDS = ("--from", "development", "--to", "staging")


@pytest.fixture(scope="module")
def other_database(server: Server) -> Iterator[str]:
    """Return the name of another database of the module's own."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    server.sql(f"CREATE DATABASE {name}")
    yield name
    server.sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def source(people: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Return a connection to a filled database."""
    people.execute(f"DROP TABLE people; {DDL}")
    people.execute(
        "INSERT INTO people VALUES (1, 'Ada', 'ada@real.example'), (2, NULL, NULL),"
        " (3, '', 'x@real.example')"
    )
    people.execute("CREATE TABLE orders (id int PRIMARY KEY, email text)")
    people.execute("INSERT INTO orders VALUES (1, 'ada@real.example')")
    return people


@pytest.fixture
def target(
    source: psycopg.Connection[Any], project: Path, server: Server, other_database: str
) -> Iterator[psycopg.Connection[Any]]:
    """Return a connection to the empty database of staging, which production has too."""
    own = f"connection_settings: {{dbname: {other_database}}}\n"
    (project / "environments" / "staging.yaml").write_text(own)
    (project / "environments" / "production.yaml").write_text(own + "protected: true\n")
    with psycopg.connect(**server.keywords(dbname=other_database), autocommit=True) as connection:
        yield connection
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")


def rows(connection: psycopg.Connection[Any], table: str = "people") -> list[Any]:
    """Return what is in a table."""
    return connection.execute(f"SELECT * FROM {table} ORDER BY 1".encode()).fetchall()


def test_a_table_goes_to_another_environment(
    cli: Cli, source: psycopg.Connection[Any], target: psycopg.Connection[Any], server: Server
) -> None:
    """Both ends, what is copied and how the table is made are shown before."""
    done = cli("copy", "people", *ENDS, "--create", "--truncate", "--verify")
    assert done.code == 0, done.err
    assert done.out.startswith("public.people: 3 rows loaded, of 3 rows read; ")
    assert "\nchecksum: 3:" in done.out
    lines = done.err.splitlines()
    for line, (end, database) in zip(
        lines, (("from development", source), ("to staging", target)), strict=False
    ):
        where = f"database {database.info.dbname} on 127.0.0.1:{server.port} as postgres, no TLS"
        assert line == f"pgstrata: {end}: {where}, PostgreSQL {server.version}"
    assert lines[2:4] == [
        "pgstrata: public.people -> public.people: binary",
        "pgstrata:   columns: id, name, email",
    ]
    assert "CREATE TABLE" in done.err
    assert rows(target) == rows(source)


def test_several_tables_with_masks_that_agree(
    cli: Cli, source: psycopg.Connection[Any], target: psycopg.Connection[Any]
) -> None:
    """What was equal before is so after; nothing of what it was is shown or kept."""
    masks = ("--mask", "email=fake-email", "--mask", "people.name=null")
    done = cli("copy", "people", "orders", *ENDS, "--create", *masks)
    assert done.code == 0, done.err
    assert "masked: email by fake-email, name by null" in done.err
    (ada, nobody, third), (order,) = rows(target), rows(target, "orders")
    assert ada[2] == order[1] != third[2]
    assert ada[2].startswith("user-")
    assert (ada[1], nobody[1:], third[1]) == (None, (None, None), None)
    assert "real.example" not in done.out + done.err


def test_a_salt_of_ones_own(
    cli: Cli, source: psycopg.Connection[Any], target: psycopg.Connection[Any], project: Path
) -> None:
    """Makes the masks of every copy the same."""
    (project / "salt").write_text("a long random text\n")
    seen = set()
    for _ in range(2):
        salted = ("--salt-file", "salt", "--mask", "email=hash", "--create", "--truncate")
        assert cli("copy", "people", *ENDS, *salted).code == 0
        seen.add(rows(target)[0][2])
    assert cli("copy", "people", *ENDS, "--mask", "email=hash", "--truncate").code == 0
    assert rows(target)[0][2] not in seen
    assert len(seen) == 1


def test_all_tables_or_none(
    cli: Cli, source: psycopg.Connection[Any], target: psycopg.Connection[Any]
) -> None:
    """The second one does not fit, so the first is not kept."""
    target.execute(DDL)
    target.execute("CREATE TABLE orders (id int PRIMARY KEY, email text CHECK (email = ''))")
    done = cli("copy", "people", "orders", *ENDS)
    assert (done.code, done.out, rows(target)) == (1, "", [])
    assert "violates check constraint" in done.err


def test_a_row_that_exists(
    cli: Cli, source: psycopg.Connection[Any], target: psycopg.Connection[Any]
) -> None:
    """What to do with it can be said, as for an import."""
    cli("copy", "people", *ENDS, "--create")
    kept = rows(target)
    done = cli("copy", "people", *ENDS)
    assert (done.code, rows(target)) == (1, kept)
    assert "hint: --on-conflict skip or update" in done.err


def test_parts_modes_and_json(
    cli: Cli, source: psycopg.Connection[Any], target: psycopg.Connection[Any]
) -> None:
    """Some rows and columns, into a table of another name, updating what is there."""
    target.execute("CREATE TABLE persons (id int PRIMARY KEY, name text)")
    target.execute("INSERT INTO persons VALUES (1, 'old'), (9, 'stays')")
    options = ("--as", "persons", "--columns", "id,name", "--where", "id <> 3", "--upsert", "id")
    shape = cli("copy", "people", *ENDS, *options, "--format", "json").json
    assert (shape["from"], shape["to"], shape["dry_run"]) == ("development", "staging", False)
    assert (shape["rows_read"], shape["rows_loaded"], shape["rows_updated"]) == (2, 2, 1)
    assert shape["tables"][0]["committed"] is True
    assert rows(target, "persons") == [(1, "Ada"), (2, None), (9, "stays")]


def test_a_dry_run(
    cli: Cli, source: psycopg.Connection[Any], target: psycopg.Connection[Any]
) -> None:
    """Leaves not even the table."""
    done = cli("copy", "people", "orders", *ENDS, "--create", "--dry-run")
    assert done.out.count("dry run: nothing was kept") == 2
    assert target.execute("SELECT to_regclass('people')").fetchone() == (None,)


def test_a_protected_target(
    cli: Cli, source: psycopg.Connection[Any], target: psycopg.Connection[Any]
) -> None:
    """It has to be named twice; reading from it is free."""
    ends = ("--from", "development", "--to", "production", "--create")
    refused = cli("copy", "people", *ends)
    assert (refused.code, refused.out) == (2, "")
    assert "hint: --yes-protected production" in refused.err
    assert cli("copy", "people", *ends, "--yes-protected", "production").code == 0
    back = cli("copy", "people", "--from", "production", "--to", "development", "--truncate")
    assert back.code == 0


def test_the_same_table(
    cli: Cli, source: psycopg.Connection[Any], target: psycopg.Connection[Any]
) -> None:
    """Is no target; another one in the same database is."""
    ends = ("--from", "development", "--to", "development")
    done = cli("copy", "people", *ends)
    assert (done.code, "are the same table" in done.err) == (3, True)
    assert cli("copy", "people", *ends, "--as", "people_2", "--create").code == 0


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (2, ["people", "--from", "development"]),
        (2, ["people", "orders", *ENDS, "--where", "true"]),
        (2, ["people", *ENDS, "--mask", "email"]),
        (2, ["people", *ENDS, "--create", "--mask", "email=rot13"]),
        (2, ["people", *ENDS, "--create", "--mask", "id=null"]),
        (3, ["people", *ENDS, "--create", "--mask", "emial=hash"]),
        (2, ["people", *ENDS, "--to-connection", "nowhere"]),
        (3, ["people", "--from", "development", "--to", "stagin"]),
        (3, ["people", *ENDS]),
    ],
)
def test_what_cannot_be(
    cli: Cli,
    source: psycopg.Connection[Any],
    target: psycopg.Connection[Any],
    code: int,
    arguments: list[str],
) -> None:
    """Is said before anything moves."""
    done = cli("copy", *arguments)
    assert (done.code, done.out) == (code, ""), done.err
    assert code == 2 or "hint: " in done.err


def test_the_rows_of_a_query(
    cli: Cli, source: psycopg.Connection[Any], target: psycopg.Connection[Any]
) -> None:
    """They go into the table that is named, and nowhere without one."""
    query = ("--query", "SELECT id, name FROM people WHERE name IS NOT NULL")
    done = cli("copy", *query, "--as", "few", "--create", *ENDS)
    assert done.code == 0, done.err
    assert rows(target, "few") == [(1, "Ada"), (3, "")]
    assert cli("copy", *query, *ENDS).code == 2
    assert cli("copy", "people", *query, *ENDS).code == 2
    assert cli("copy", *ENDS).code == 2


def test_a_copy_in_batches_is_resumed(
    cli: Cli, source: psycopg.Connection[Any], target: psycopg.Connection[Any]
) -> None:
    """What failed in part says so with its exit code, and goes on when that is mended."""
    target.execute(f"{DDL}; ALTER TABLE people ADD CONSTRAINT odd CHECK (id <> 3)")
    arguments = ("copy", "people", *ENDS, "--batch", "1", "--mask", "email=null")
    done = cli(*arguments)
    assert done.code == 5
    assert "2 rows of public.people are committed; the next batch failed" in done.err
    target.execute("ALTER TABLE people DROP CONSTRAINT odd")
    done = cli(*arguments)
    assert done.code == 2
    assert "--resume goes on with it" in done.err
    done = cli(*arguments, "--resume", "--format", "json")
    assert done.code == 0
    assert (done.json["rows_loaded"], done.json["rows_resumed"]) == (1, 2)
    assert rows(target) == [(1, "Ada", None), (2, None, None), (3, "", None)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("people", "--mask", "name=hash"), "batches with masks need a salt"),
        (("people", "orders", "--copy-id", "x"), "go with one table only"),
    ],
)
def test_what_batches_cannot_do_is_refused(
    cli: Cli, source: psycopg.Connection[Any], arguments: tuple[str, ...], said: str
) -> None:
    """Before anything is connected."""
    done = cli("copy", *arguments, *ENDS, "--batch", "10")
    assert done.code == 2
    assert said in done.err
