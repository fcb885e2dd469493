"""A stream that can be read more than once, such as stdin or a named pipe.

Whatever is read of it for the first time is kept, packed as it came, in a temporary file; so a
table can be made for it, its rows proved, and rejected ones found again.
"""

from __future__ import annotations

import io
import tempfile
from threading import Lock
from typing import IO, TYPE_CHECKING, Any

from pgstrata.tables.errors import TransferError
from pgstrata.tables.source import Source, name_of, opened

if TYPE_CHECKING:
    from pgstrata.tables.options import ImportOptions


class Replay:
    """Hands out readers of a stream, each of which begins where it began.

    A path is opened once, by the first who reads: for a named pipe that waits for who writes it.
    """

    def __init__(self, source: Source) -> None:
        self.name = name_of(source)
        self._source, self._lock = source, Lock()
        self._stream: IO[bytes] | None = None
        self._kept: IO[bytes] | None = None
        self._size = 0

    def reader(self) -> IO[bytes]:
        """Return a reader that stands at the beginning."""
        return io.BufferedReader(_Reader(self))

    def read_at(self, position: int, size: int) -> bytes:
        """Return up to ``size`` bytes from a position on that is not behind what was read.

        Raises ``InputError`` for a path that cannot be opened.
        """
        with self._lock:
            if self._stream is None:
                self._stream = opened(self._source)
            if self._kept is None:
                self._kept = tempfile.TemporaryFile()  # noqa: SIM115  # see ``close``
            if position < self._size:
                self._kept.seek(position)
                return self._kept.read(size)
            data = self._stream.read(size)
            try:
                self._kept.seek(position)
                self._kept.write(data)
                self._kept.flush()
            except OSError as error:
                raise TransferError(
                    f"cannot keep a copy of {self.name} in {tempfile.gettempdir()}:"
                    f" {error.strerror or error}",
                    hint="another folder can be named by the variable TMPDIR",
                ) from error
            self._size += len(data)
            return data

    def close(self) -> None:
        """Drop what was kept, and close what was opened here; a stream of the caller stays open."""
        if self._kept is not None:
            self._kept.close()
        if self._stream is not None and self._stream is not self._source:
            self._stream.close()


class _Reader(io.RawIOBase):
    """One reading of a ``Replay``."""

    def __init__(self, replay: Replay) -> None:
        self.name = replay.name
        self._replay, self._position = replay, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._replay.read_at(self._position, len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def read_twice(options: ImportOptions) -> bool:
    """Return whether an import may have to read its files more than once."""
    staged = options.mode == "replace" or options.on_conflict != "error" or bool(options.columns)
    return options.create or options.verify or (options.rejects is not None and staged)
