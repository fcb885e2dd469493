"""A server whose disk is full: a real one, of two megabytes."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.servers import Server

from pgstrata.tables import (
    CopyOptions,
    ImportOptions,
    PartialTransferError,
    TransferError,
    copy_table,
    import_csv,
)

ROW = "%d," + "x" * 500 + "\n"


@pytest.fixture
def disk() -> Iterator[Path]:
    """Return the folder that a small disk is mounted on."""
    folder = Path(tempfile.mkdtemp(prefix="pgstrata-small-"))
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    mounted = (
        shutil.which("mount")
        and subprocess.run(command, check=False, capture_output=True).returncode == 0
    )
    if not mounted:
        folder.rmdir()
        pytest.skip("a small disk cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


@pytest.fixture
def small(server: Server, database: str, disk: Path) -> Iterator[psycopg.Connection[Any]]:
    """Return a connection to a database with a table on a small disk."""
    if server.account:
        os.chown(disk, server.account.uid, server.account.gid)
    space = f"small_{database}"
    server.sql(f"CREATE TABLESPACE {space} LOCATION '{disk}'")
    with psycopg.connect(**server.keywords(dbname=database)) as connection:
        connection.execute(f"CREATE TABLE wide (a int, b text) TABLESPACE {space}".encode())
        connection.commit()
        yield connection
        connection.rollback()
        connection.execute("DROP TABLE wide")
        connection.commit()
    server.sql("CHECKPOINT")  # or files of dropped tables are still there
    server.sql(f"DROP TABLESPACE {space}")


def lines(count: int) -> str:
    """Return a file of so many rows of half a kilobyte."""
    return "a,b\n" + "".join(ROW % n for n in range(count))


@pytest.mark.parametrize("rejects", [False, True])
def test_nothing_is_kept(small: psycopg.Connection[Any], csv_file: Any, *, rejects: bool) -> None:
    """It is no fault of a row, so no row is rejected for it."""
    path = csv_file(lines(20_000))
    options = ImportOptions(rejects=path.with_suffix(".bad") if rejects else None)
    with pytest.raises(TransferError, match=r"No space left on device"):
        import_csv(small, "wide", path, options)
    assert not path.with_suffix(".bad").exists()
    assert small.execute("SELECT count(*) FROM wide").fetchone() == (0,)


def test_what_was_committed_stays(small: psycopg.Connection[Any], csv_file: Any) -> None:
    """And the message says how much that is."""
    path = csv_file(lines(20_000))
    with pytest.raises(PartialTransferError, match=r"^(\d+) rows of wide are committed") as error:
        import_csv(small, "wide", path, ImportOptions(batch=500))
    kept = small.execute("SELECT count(*) FROM wide").fetchone()
    assert kept
    assert str(error.value).startswith(f"{kept[0]} rows")
    assert kept[0] >= 500


@pytest.mark.parametrize("batch", [None, 1000])
def test_rejects_that_find_no_room(
    people: psycopg.Connection[Any], disk: Path, csv_file: Any, batch: int | None
) -> None:
    """Nothing of their batch is kept, and what was before is said."""
    bad = "".join(f"{'x' * 500},{n}\n" for n in range(10_000))
    path = csv_file("id,amount\n" + "".join(f"{n},1\n" for n in range(1000)) + bad)
    options = ImportOptions(batch=batch, rejects=disk / "bad.csv", max_rejects=10_000)
    with pytest.raises(TransferError, match=r"bad.csv: No space left on device") as error:
        import_csv(people, "people", path, options)
    assert isinstance(error.value, PartialTransferError) == bool(batch)
    kept = 1000 if batch else 0
    assert people.execute("SELECT count(*) FROM people").fetchone() == (kept,)
    assert not batch or str(error.value).startswith("1000 rows")
    assert (disk / "bad.csv").exists() == bool(batch)


def test_a_copy_keeps_nothing(
    small: psycopg.Connection[Any], people: psycopg.Connection[Any]
) -> None:
    """Its target is full."""
    people.execute(
        "CREATE TABLE source AS"
        " SELECT n AS a, repeat('x', 500) AS b FROM generate_series(1, 9999) AS n"
    )
    people.commit()
    with pytest.raises(TransferError, match=r"No space left on device"):
        copy_table(people, small, "source", CopyOptions(target="wide"))
    assert small.execute("SELECT count(*) FROM wide").fetchone() == (0,)
