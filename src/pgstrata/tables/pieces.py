"""A file in pieces to be sent, without the records that have a wrong number of fields."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgstrata.tables.locate import Record, records_at, split_block
from pgstrata.tables.results import Reject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pgstrata.tables.job import Job
    from pgstrata.tables.records import Block

PART = 4 * 2**20  # bytes sent under one savepoint, as long as no row is bad


@dataclass(frozen=True, slots=True)
class Piece:
    """Records to be sent, and how to tell them apart if that becomes necessary.

    ``read`` returns their bytes, ``find`` those that end on the given ones of its ``marks``, which
    count from 1.
    """

    read: Callable[[], bytes]
    count: int
    marks: int
    split: Callable[[], list[Record]]
    find: Callable[[list[int]], list[Record]]


class Reader:
    """Hands out parts of the file without the records that have a wrong number of fields."""

    def __init__(self, job: Job, blocks: Iterator[Block], loaded: Callable[[Block], None]) -> None:
        self.ended = False
        self.records = 0
        self.rejects: list[Reject] = []
        self._job, self._blocks, self._loaded = job, blocks, loaded
        self._scanner, self._size = job.scanner, PART
        self._delimiter = job.file.dialect.delimiter.encode()
        self._ahead: tuple[Block, Piece, list[Reject]] | None = None

    def part(self) -> Iterator[Piece]:
        """Yield pieces up to the size of a part."""
        size = 0
        while size < self._size:
            self.look_ahead()
            if self._ahead is None:
                self.ended = True
                return
            (block, piece, misshapen), self._ahead = self._ahead, None
            self.rejects += misshapen
            self.records += block.records
            size += len(block.data)
            yield piece
            self._loaded(block)

    def adapt(self, *, undone: bool) -> None:
        """Make parts smaller where a bad row has undone one, and larger again where none does."""
        self._size = PART // 8 if undone else min(PART, 2 * self._size)

    def look_ahead(self) -> None:
        """Get the next piece ready, which takes no time while the server is busy with the last."""
        if self._ahead is None and (block := next(self._blocks, None)):
            self._ahead = block, *self._piece(block)

    def _piece(self, block: Block) -> tuple[Piece, list[Reject]]:
        expected = len(self._job.target.columns) - 1
        shapes = self._scanner.shapes(block.data, self._delimiter)[: block.records]
        if shapes.count(self._delimiter * expected) == block.records:
            whole = Piece(
                lambda: block.data,
                block.records,
                block.marks,
                lambda: split_block(block, self._scanner),
                lambda marks: records_at(block, marks, self._scanner),
            )
            return whole, []
        good, bad = [], []
        for record, shape in zip(split_block(block, self._scanner), shapes, strict=False):
            if len(shape) == expected:
                good.append(record)
            else:
                bad.append(_misshapen(self._job, record, len(shape)))
        return piece_of(good, self._scanner.mark), bad


def piece_of(records: list[Record], mark: bytes) -> Piece:
    """Return a piece of records that are known one by one."""
    data = b"".join(record.data for record in records)

    def find(marks: list[int]) -> list[Record]:
        found = ending_on(records, [number + 1 for number in marks], mark)
        return [records[index] for index in found if index is not None]

    return Piece(lambda: data, len(records), data.count(mark), lambda: records, find)


def without(pieces: list[Piece], rejected: set[int], mark: bytes) -> list[Piece]:
    """Return the pieces without some records, which are given by number."""
    if not rejected:
        return pieces
    kept = []
    for piece in pieces:
        good = [record for record in piece.split() if record.number not in rejected]
        if good:
            kept.append(piece if len(good) == piece.count else piece_of(good, mark))
    return kept


def on_lines(pieces: list[Piece], lines: list[int]) -> list[Record]:
    """Return the records that end on the server's lines, which ascend behind a header line."""
    found: list[Record] = []
    before, place = 1, 0
    for piece in pieces:
        after = before + piece.marks if piece is not pieces[-1] else sys.maxsize
        wanted = [line - before for line in lines[place:] if line <= after]
        found += piece.find(wanted) if wanted else []
        before, place = before + piece.marks, place + len(wanted)
    return found


def ending_on(records: list[Record], lines: list[int], mark: bytes) -> list[int | None]:
    """Return for each of the server's lines, which ascend, the record that ends on it."""
    found: list[int | None] = []
    wanted = iter(lines)
    line, after = next(wanted, None), 1
    for index, record in enumerate(records):
        after += max(1, record.data.count(mark))
        while line is not None and line <= after:
            found.append(index)
            line = next(wanted, None)
    return found + [None] * (len(lines) - len(found))


def _misshapen(job: Job, record: Record, delimiters: int) -> Reject:
    columns = job.target.columns
    missing = delimiters < len(columns) - 1
    column = columns[delimiters + 1] if missing else ""
    return Reject(
        file=job.file.name,
        line=record.line,
        record=record.number,
        offset=record.offset,
        sqlstate="22P04",
        message=f'missing data for column "{column}"'
        if missing
        else "extra data after last expected column",
        column=column,
        data=record.data,
    )
