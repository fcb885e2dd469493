"""Streams that an import reads more than once."""

from __future__ import annotations

import gzip
import io
from typing import TYPE_CHECKING, Any, cast

import pytest

from pgstrata.tables import ImportOptions, TransferError, import_csv
from pgstrata.tables.replay import Replay

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import IO

    import psycopg

ROWS = 40_000  # more than a sample


class Pipe(io.RawIOBase):
    """Bytes that come once, some at a time."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        """Say that it is there to be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read a little."""
        return self._data.readinto(memoryview(buffer)[:50_000])


def stream(text: str, pack: Callable[[bytes], bytes] = bytes) -> IO[bytes]:
    """Return a stream that cannot seek."""
    return cast("IO[bytes]", io.BufferedReader(Pipe(pack(text.encode()))))


@pytest.mark.parametrize("sample", [10, None])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_table_for_a_stream(
    connection: psycopg.Connection[Any], sample: int | None, pack: Callable[[bytes], bytes]
) -> None:
    """What was read to infer the types is loaded too, and both are proved."""
    text = "id,name\n" + "".join(f"{n},name {n}\n" for n in range(ROWS))
    options = ImportOptions(create=True, sample=sample, verify=True)
    result = import_csv(connection, "t", stream(text, pack), options)
    assert result.rows_loaded == ROWS
    assert result.verified == "counts and checksums of file and table"
    assert result.bytes == len(pack(text.encode()))


@pytest.mark.parametrize("batch", [None, 15_000])
def test_staged_rows_of_a_stream_that_are_refused(
    people: psycopg.Connection[Any], tmp_path: Path, batch: int | None
) -> None:
    """They are found again, also while the rest is still to be read."""
    lines = [f"{n},{n},{n}\n" for n in range(ROWS)]
    lines[20_000] = "19999,twice,\n"
    options = ImportOptions(columns=["id", "amount"], batch=batch, rejects=tmp_path / "bad.csv")
    source = stream("id,full name,amount\n" + "".join(lines))
    result = import_csv(people, "people", source, options)
    assert (result.rows_loaded, result.rows_rejected) == (ROWS - 1, 1)
    assert (tmp_path / "bad.csv").read_text() == "id,full name,amount\n19999,twice,\n"


def test_a_copy_that_cannot_be_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The stream is not damaged: the message says which folder is full."""
    path = tmp_path / "read only"
    path.touch()
    monkeypatch.setattr("tempfile.TemporaryFile", lambda: path.open("rb", buffering=0))
    replay = Replay(stream("a\n"))
    with pytest.raises(TransferError, match=r"cannot keep a copy"):
        replay.reader().read()
    replay.close()
