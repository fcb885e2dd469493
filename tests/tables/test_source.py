"""Paths that lead to no regular file: named pipes, as ``<(…)`` of a shell makes them."""

from __future__ import annotations

import gzip
import os
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from pgstrata.tables import ImportOptions, InputError, import_csv
from pgstrata.tables.source import Input, stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import psycopg

ROWS = 40_000  # more than a sample, and than a pipe holds
LINES = [f"{n},name {n},{n}\n" for n in range(ROWS)]
HEADER = "id,full name,amount\n"

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes in the file tree")


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Callable[[bytes], Path]]:
    """Return a function that makes a named pipe, into which data are written once."""
    made: list[tuple[Path, Thread]] = []

    def write(path: Path, data: bytes) -> None:
        with suppress(BrokenPipeError):
            path.write_bytes(data)

    def make(data: bytes) -> Path:
        path = tmp_path / "people.csv"
        os.mkfifo(path)
        made.append((path, Thread(target=write, args=(path, data))))
        made[-1][1].start()
        return path

    yield make
    for path, thread in made:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))  # lets go a writer nobody has read
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(
    "chosen", [{}, {"verify": True}, {"batch": 15_000}, {"mode": "replace"}, {"create": True}]
)
def test_a_named_pipe(
    people: psycopg.Connection[Any],
    pipe: Callable[[bytes], Path],
    chosen: dict[str, Any],
    pack: Callable[[bytes], bytes],
) -> None:
    """It is opened once, also where it is read more than once."""
    data = pack((HEADER + "".join(LINES)).encode())
    table = "made" if "create" in chosen else "people"
    result = import_csv(people, table, pipe(data), ImportOptions(**chosen))
    assert (result.rows_loaded, result.bytes) == (ROWS, len(data))
    if "verify" in chosen:
        assert result.verified == "counts and checksums of file and table"


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("chosen", [{}, {"columns": ["id", "amount"]}, {"verify": True}])
def test_bad_rows_of_a_named_pipe(
    people: psycopg.Connection[Any],
    pipe: Callable[[bytes], Path],
    tmp_path: Path,
    chosen: dict[str, Any],
    pack: Callable[[bytes], bytes],
) -> None:
    """They are rejected as they were, where rows are staged too."""
    bad = {20_000: "19999,twice,\n", 30_000: "x,no number,1\n"}
    lines = "".join(bad.get(n, line) for n, line in enumerate(LINES))
    options = ImportOptions(rejects=tmp_path / "bad.csv", **chosen)
    result = import_csv(people, "people", pipe(pack((HEADER + lines).encode())), options)
    assert (result.rows_loaded, result.rows_rejected) == (ROWS - 2, 2)
    header, *written = (tmp_path / "bad.csv").read_text().splitlines(keepends=True)
    assert (header, sorted(written)) == (HEADER, sorted(bad.values()))


@pytest.mark.parametrize("create", [False, True])
def test_a_named_pipe_of_which_nothing_comes(
    people: psycopg.Connection[Any], pipe: Callable[[bytes], Path], *, create: bool
) -> None:
    """It is an empty file."""
    with pytest.raises(InputError, match=r"people.csv is empty"):
        import_csv(people, "made" if create else "people", pipe(b""), ImportOptions(create=create))


@pytest.mark.parametrize("create", [False, True])
def test_a_folder_is_no_file(
    people: psycopg.Connection[Any], tmp_path: Path, *, create: bool
) -> None:
    """The system says so."""
    with pytest.raises(InputError, match=r"cannot read .*: Is a directory"):
        import_csv(people, "made" if create else "people", tmp_path, ImportOptions(create=create))


def test_a_file_that_is_open_already_is_no_stored_one(csv_file: Any) -> None:
    """Its name leads on some systems to where another reader has come."""
    path = csv_file("id\n1\n")
    with path.open("rb") as file:
        assert stored(path)
        assert not stored(f"/dev/fd/{file.fileno()}")
        assert not stored(file)


def test_what_a_pipe_was_opened_for_is_closed(pipe: Callable[[bytes], Path]) -> None:
    """Else who writes into it would wait for ever."""
    source = Input(pipe(b"id\n" * 500_000))
    assert (source.read(3), source.size) == (b"id\n", None)
    source.close()
