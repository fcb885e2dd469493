"""One file on its way into one table: what strict, tolerant and parallel loading share."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from pgstrata.tables.records import Scanner
from pgstrata.tables.results import OnProgress, Progress
from pgstrata.tables.statement import Target, copy_in, header_line

if TYPE_CHECKING:
    from pgstrata.tables.prepare import Opened
    from pgstrata.tables.steps import AnyConnection

PERIOD = 0.1  # seconds between two calls of a progress callback


class Job(NamedTuple):
    """``lanes`` is how many connections share the file, and so the memory."""

    connection: AnyConnection
    target: Target
    file: Opened
    force_null: bool = False
    lanes: int = 1

    @property
    def scanner(self) -> Scanner:
        """A scanner of the file's dialect, to split blocks again."""
        return Scanner(self.file.dialect)

    @property
    def header(self) -> bytes:
        """The line that goes first; see ``copy_in``."""
        return header_line(self.file.dialect)

    @property
    def server(self) -> int:
        """The server's major version."""
        return self.connection.info.server_version // 10000

    def statement(self, *, lenient: bool = False) -> bytes:
        """Return the COPY statement."""
        composed = copy_in(
            self.target,
            self.file.dialect,
            self.file.encoding.server,
            force_null=self.force_null,
            lenient=lenient,
        )
        return composed.as_bytes(None)


class Tally:
    """Counts rows and tells the caller from time to time how far it is."""

    def __init__(self, progress: OnProgress | None, total: int | None = None) -> None:
        self.rows = 0
        self.bytes = 0
        self.committed = 0
        self.total = total
        self._progress = progress
        self._start = time.monotonic()
        self._next = self._start

    @property
    def seconds(self) -> float:
        """Seconds since the transfer began."""
        return time.monotonic() - self._start

    def add(self, rows: int, position: int) -> None:
        """Count rows, of which the last ends at ``position``."""
        self.rows += rows
        self.bytes = position
        now = time.monotonic()
        if self._progress and now >= self._next:
            self._next = now + PERIOD
            self.tell()

    def tell(self) -> None:
        """Tell the caller now."""
        if self._progress:
            self._progress(
                Progress(self.rows, self.bytes, self.total, self.seconds, self.committed)
            )
