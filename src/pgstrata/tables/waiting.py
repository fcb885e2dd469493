"""Records that wait for others to be loaded: on the disk, with only their places in memory."""

from __future__ import annotations

import os
import tempfile
from functools import partial
from typing import TYPE_CHECKING

from pgstrata.tables.errors import TransferError
from pgstrata.tables.locate import Record, records_at, split_block
from pgstrata.tables.pieces import PART, Piece
from pgstrata.tables.records import Block, Scanner

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Waiting:
    """Pieces that wait. ``count`` is of how many records."""

    def __init__(self, scanner: Scanner) -> None:
        self.count = 0
        self._scanner = scanner
        self._pieces: list[Piece] = []
        self._file = tempfile.SpooledTemporaryFile(PART)  # noqa: SIM115  # see ``close``

    def add(self, pieces: Iterable[Piece]) -> None:
        """Let pieces wait. Raises ``TransferError`` if there is no room for them."""
        try:
            for piece in pieces:
                for run in _runs(piece.split()):
                    self._pieces.append(self._stored(run))
                    self.count += len(run)
        except OSError as error:
            folder = tempfile.gettempdir()
            raise TransferError(
                f"cannot keep rows that wait for others in {folder}: {error.strerror or error}",
                hint="another folder can be named by the variable TMPDIR",
            ) from error

    def take(self) -> list[Piece]:
        """Return all pieces; from now on none waits. Their data stay readable until the end."""
        pieces, self._pieces, self.count = self._pieces, [], 0
        return pieces

    def close(self) -> None:
        """Drop all data."""
        self._file.close()

    def _stored(self, records: list[Record]) -> Piece:
        # What is returned must not hold on to the records themselves.
        count = len(records)
        place = records[0].number, records[0].line, records[0].offset
        data = b"".join(record.data for record in records)
        lines, marks = data.count(self._scanner.end), data.count(self._scanner.mark)
        self._file.seek(0, os.SEEK_END)
        position = self._file.tell()
        self._file.write(data)
        read = partial(self._read, position, len(data))

        def block() -> Block:
            return Block(read(), count, *place, lines, marks)

        return Piece(
            read,
            count,
            marks,
            lambda: split_block(block(), self._scanner),
            lambda wanted: records_at(block(), wanted, self._scanner),
        )

    def _read(self, position: int, size: int) -> bytes:
        self._file.seek(position)
        return self._file.read(size)


def _runs(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Yield records in groups that are one piece of the file."""
    run: list[Record] = []
    for record in records:
        if run and record.offset != run[-1].offset + len(run[-1].data):
            yield run
            run = []
        run.append(record)
    if run:
        yield run
