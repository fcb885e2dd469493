"""Records that wait for others to be loaded: on the disk, with only their places in memory."""

from __future__ import annotations

import os
import tempfile
from functools import partial
from typing import TYPE_CHECKING

from pgstrata.tables.errors import TransferError
from pgstrata.tables.pieces import PART
from pgstrata.tables.records import Block, Piece, Stored

if TYPE_CHECKING:
    from collections.abc import Iterable


class Waiting:
    """Pieces that wait. ``count`` is of how many records."""

    def __init__(self) -> None:
        self.count = 0
        self._pieces: list[Piece] = []
        self._file = tempfile.SpooledTemporaryFile(PART)  # noqa: SIM115  # see ``close``

    def add(self, pieces: Iterable[Piece]) -> None:
        """Let pieces wait. Raises ``TransferError`` if there is no room for them."""
        for piece in pieces:
            self._pieces.append(self.stored(piece))
            self.count += piece.records

    def stored(self, piece: Piece) -> Stored:
        """Return a piece of which the data are on the disk. Raises ``TransferError`` as ``add``."""
        if isinstance(piece, Stored):
            return piece
        try:
            return self._written(piece)
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

    def _written(self, piece: Block) -> Stored:
        data = piece.data
        self._file.seek(0, os.SEEK_END)
        read = partial(self._read, self._file.tell(), len(data))
        self._file.write(data)
        place = piece.record, piece.line, piece.offset
        return Stored(read, len(data), piece.records, *place, piece.lines, piece.marks)

    def _read(self, position: int, size: int) -> bytes:
        self._file.seek(position)
        return self._file.read(size)
