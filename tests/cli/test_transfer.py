"""What a person at a terminal, or a signal, makes of a transfer."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import psycopg
import pytest
from tests.cli.conftest import environment, process

from pgstrata.cli.transfer import lines
from pgstrata.tables import Progress

PATIENCE = 60  # seconds for what takes a moment on an idle machine
posix = pytest.mark.skipif(os.name != "posix", reason="signals and terminals are POSIX's here")


def until(condition: Callable[[], Any], what: str) -> Any:
    """Return what a condition gives once it is true."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} never came"
        time.sleep(0.01)
    return found


def test_a_line_every_ten_seconds() -> None:
    """Where nobody looks at a terminal."""
    said: list[str] = []
    show = lines(said.append)
    for second in range(26):
        show(Progress(rows=second * 1000, bytes=second * 10**6, total=10**8, seconds=second))
    assert said == [
        "10,000 rows, 10.0 MB of 100.0 MB (10 %), 1,000 rows/s, 1.0 MB/s, 1:30 left",
        "20,000 rows, 20.0 MB of 100.0 MB (20 %), 1,000 rows/s, 1.0 MB/s, 1:20 left",
    ]


@contextmanager
def importing(*options: str, **streams: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Import from a pipe; the process ends with the block, if not before."""
    command = process("import", "people", "-", *options)
    given: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    with subprocess.Popen(command, env=environment(), stdin=subprocess.PIPE, **given) as child:
        try:
            yield child
        finally:
            if child.poll() is None:
                child.kill()


def feed(stdin: IO[bytes] | None, first: int, last: int) -> None:
    """Write so many records, of which each is a kilobyte."""
    assert stdin is not None
    stdin.write(b"".join(b"%d,%s,1\n" % (n, b"x" * 1000) for n in range(first, last)))
    stdin.flush()


def loading(people: psycopg.Connection[Any]) -> bool:
    """Return whether rows have arrived that are not committed."""
    query = "SELECT sum(tuples_processed) FROM pg_stat_progress_copy"
    row = people.execute(query).fetchone()
    return bool(row and row[0])


def count(people: psycopg.Connection[Any]) -> int:
    """Return how many rows are committed."""
    row = people.execute("SELECT count(*) FROM people").fetchone()
    assert row
    return int(row[0])


@posix
@pytest.mark.parametrize("kind", ["SIGINT", "SIGTERM"])
def test_a_signal_leaves_nothing(people: psycopg.Connection[Any], kind: str) -> None:
    """Exit code 130, one line, and no rows."""
    with importing() as child:
        assert child.stdin
        child.stdin.write(b"id,name,amount\n")
        feed(child.stdin, 0, 3000)
        until(lambda: loading(people), "the first row")
        child.send_signal(getattr(signal, kind))
        out, err = child.communicate()
    assert (child.returncode, out) == (130, b"")
    assert err.decode().splitlines()[-1] == "pgstrata: interrupted: nothing was kept"
    assert count(people) == 0


@posix
def test_ctrl_c_leaves_what_is_committed(people: psycopg.Connection[Any]) -> None:
    """With batches, and says how much that is."""
    with importing("--batch", "1000") as child:
        assert child.stdin
        child.stdin.write(b"id,name,amount\n")
        feed(child.stdin, 0, 4500)
        until(lambda: count(people) >= 3000, "the third batch")
        child.send_signal(signal.SIGINT)
        out, err = child.communicate()
    kept = count(people)
    assert (child.returncode, out, kept % 1000) == (130, b"", 0)
    said = f"pgstrata: interrupted: {kept} rows of people are committed; it can be resumed"
    assert err.decode().splitlines()[-1] == said


@posix
def test_ctrl_c_ends_several_connections_that_wait(
    people: psycopg.Connection[Any], project: Path
) -> None:
    """Of which one waits for a lock and none hears of the signal by itself."""
    people.execute(
        "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN PERFORM pg_advisory_xact_lock(7); RETURN new; END$$;"
        "CREATE TRIGGER hold BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION hold();"
        "SELECT pg_advisory_lock(7)"
    )
    (project / "people.csv").write_text("id\n" + "".join(f"{n}\n" for n in range(9)))
    waits = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    command = process("import", "people", "people.csv", "--jobs", "2")
    with subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True) as child:
        until(lambda: people.execute(waits).fetchall(), "the lock")
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=PATIENCE)
    people.execute("SELECT pg_advisory_unlock(7)")
    assert child.returncode == 130
    assert err.splitlines()[-1] == "pgstrata: interrupted: nothing was kept"
    assert count(people) == 0


@posix
def test_a_terminal_shows_a_bar_and_then_the_summary(people: psycopg.Connection[Any]) -> None:
    """Rows, bytes and rate while it runs; at the end the bar is gone and the summary stands."""
    import pty

    master, slave = pty.openpty()
    shown = b""
    with importing(stdout=slave, stderr=slave) as child:
        os.close(slave)
        os.set_blocking(master, False)
        assert child.stdin
        child.stdin.write(b"id,name,amount\n")
        first, deadline = 0, time.monotonic() + PATIENCE
        while b" rows" not in shown:
            assert time.monotonic() < deadline, shown.decode()
            feed(child.stdin, first, first + 500)
            first += 500
            shown += _read(master)
        child.stdin.close()
        until(lambda: child.poll() is not None, "the end")
        shown += _read(master)
    os.close(master)
    before, _, after = shown.decode().rpartition("\x1b[2K")  # the bar is erased
    assert re.search(r"[\d,]+ rows", before)
    assert re.search(r"[\d.]+/\? [kM]?B|[\d.]+ [kM]B", before)
    text = re.sub(r"\x1b\[[?\d;]*[a-zA-Z]", "", after).strip()
    assert text.startswith(f"people: {first:,} rows loaded, of {first:,} rows read; "), repr(text)
    assert "\n" not in text


def _read(descriptor: int) -> bytes:
    """Return what is there now."""
    read = b""
    while True:
        try:
            chunk = os.read(descriptor, 65536)
        except BlockingIOError:
            return read
        except OSError:  # how Linux says that the other end is closed
            return read
        if not chunk:
            return read
        read += chunk
