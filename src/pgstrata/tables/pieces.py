"""A file in pieces to be sent: blocks, cut where a record has to be left out."""

from __future__ import annotations

from bisect import bisect_right
from itertools import groupby
from typing import TYPE_CHECKING

from pgstrata.tables.errors import TransferError
from pgstrata.tables.locate import Record, records_at, report, split_block
from pgstrata.tables.records import Block

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pgstrata.tables.job import Job
    from pgstrata.tables.records import Piece, Scanner
    from pgstrata.tables.results import Reject

PART = 4 * 2**20  # bytes sent under one savepoint, as long as no row is bad


class Reader:
    """Hands out parts of the file without the records that have a wrong number of fields."""

    def __init__(self, job: Job, blocks: Iterator[Block], loaded: Callable[[Block], None]) -> None:
        self.ended = False
        self.records = 0
        self.rejects: list[Reject] = []
        self._job, self._blocks, self._loaded = job, blocks, loaded
        self._scanner, self._size = job.scanner, PART
        self._delimiter = job.file.dialect.delimiter.encode()
        self._crlf = job.file.dialect.newline == "\r\n"
        self._ahead: tuple[Block, list[Piece], list[Reject]] | None = None

    def part(self) -> Iterator[Piece]:
        """Yield pieces up to the size of a part."""
        size = 0
        while size < self._size:
            self.look_ahead()
            if self._ahead is None:
                self.ended = True
                return
            (block, pieces, misshapen), self._ahead = self._ahead, None
            self.rejects += misshapen
            self.records += block.records
            size += len(block.data)
            yield from pieces
            self._loaded(block)

    def adapt(self, *, undone: bool) -> None:
        """Make parts smaller where a bad row has undone one, and larger again where none does."""
        self._size = PART // 8 if undone else min(PART, 2 * self._size)

    def look_ahead(self) -> None:
        """Get the next pieces ready, which takes no time while the server is busy with the last."""
        if self._ahead is None and (block := next(self._blocks, None)):
            self._ahead = block, *self._pieces(block)

    def _pieces(self, block: Block) -> tuple[list[Piece], list[Reject]]:
        expected = len(self._job.target.columns) - 1
        shapes = self._scanner.shapes(block.data, self._delimiter)[: block.records]
        even = not self._crlf or _even(block.data)
        if even and shapes.count(self._delimiter * expected) == block.records:
            return [block], []
        records = split_block(block, self._scanner)
        wrong = [
            (None if even else _misended(record.data, self._scanner))
            or _misshapen(len(shape), self._job.target.columns)
            for record, shape in zip(records, shapes, strict=False)
        ]
        bad = [
            report(self._job.file, record, "22P04", *what)
            for record, what in zip(records, wrong, strict=False)
            if what
        ]
        return _runs(records, [not what for what in wrong], self._scanner), bad


def without(pieces: Iterable[Piece], rejected: set[int], scanner: Scanner) -> Iterator[Piece]:
    """Yield the pieces without some records, which are given by number."""
    for piece in pieces:
        here = range(piece.record, piece.record + piece.records)
        if rejected.isdisjoint(here):
            yield piece
            continue
        records = split_block(piece, scanner)
        yield from _runs(records, [r.number not in rejected for r in records], scanner)


def around(
    pieces: list[Piece], record: Record, scanner: Scanner
) -> tuple[list[Piece], list[Piece]]:
    """Return the pieces before a record and those behind it."""
    ends = (piece.record + piece.records for piece in pieces)
    place = next(place for place, end in enumerate(ends) if record.number < end)
    before, rest = _cut(pieces[place], record, scanner)
    _, after = _cut(rest, _following(record, scanner), scanner)
    return [*pieces[:place], *_some(before)], [*_some(after), *pieces[place + 1 :]]


def divided(pieces: list[Piece], size: int, scanner: Scanner) -> tuple[list[Piece], list[Piece]]:
    """Return the pieces in two parts: the first has about ``size`` bytes and at least a record."""
    for place, piece in enumerate(pieces):
        if size < piece.size:
            if piece.records == 1:
                place = max(place, 1)  # noqa: PLW2901  # it cannot be cut
                return pieces[:place], pieces[place:]
            first, rest = _cut(piece, _behind(piece, size, scanner), scanner)
            return [*pieces[:place], first], [rest, *pieces[place + 1 :]]
        size -= piece.size
    return pieces, []


class Lines:
    """Finds the records of pieces by the server's lines, which ascend behind a header line."""

    def __init__(self, scanner: Scanner) -> None:
        self.found: list[Record] = []
        self._scanner = scanner
        self._before, self._place = 1, 0  # lines before the next piece, and which that is

    def find(self, pieces: Sequence[Piece], lines: Sequence[int], *, all_told: bool) -> None:
        """Find what ends on some of the ``lines``: on all of them if those are all there will be,
        else in the pieces that a later line has left behind.
        """
        while self._place < len(pieces):
            piece, left = pieces[self._place], lines[len(self.found) :]
            last = self._place == len(pieces) - 1  # whose last record may lack its newline
            here = len(left) if last else bisect_right(left, self._before + piece.marks)
            if here == len(left) and not all_told:
                return
            marks = [line - self._before for line in left[:here]]
            self.found += records_at(piece, marks, self._scanner) if marks else []
            self._before, self._place = self._before + piece.marks, self._place + 1


def _runs(records: Sequence[Record], good: Iterable[bool], scanner: Scanner) -> list[Piece]:
    """Return the good ones of records that follow each other, each run of them as a block."""
    runs = groupby(zip(good, records, strict=True), key=lambda pair: pair[0])
    return [_block([record for _, record in pairs], scanner) for is_good, pairs in runs if is_good]


def _cut(block: Piece, behind: Record, scanner: Scanner) -> tuple[Block, Block]:
    """Return what is before a record's beginning, and the rest; either may be empty."""
    data, length = block.data, behind.offset - block.offset
    records, lines = behind.number - block.record, behind.line - block.line
    marks = lines if scanner.mark == scanner.end else data.count(scanner.mark, 0, length)
    return (
        Block(data[:length], records, block.record, block.line, block.offset, lines, marks),
        Block(
            data[length:],
            block.records - records,
            behind.number,
            behind.line,
            behind.offset,
            block.lines - lines,
            block.marks - marks,
        ),
    )


def _behind(block: Piece, size: int, scanner: Scanner) -> Record:
    """Return where the record begins behind the last that ends within so many bytes, or behind the
    first.
    """
    data = block.data
    end = scanner.last_end(data[:size]) or len(scanner.split(data)[0])
    count, lines = scanner.count(data[:end]), data.count(scanner.end, 0, end)
    return Record(b"", block.record + count, block.line + lines, block.offset + end)


def _following(record: Record, scanner: Scanner) -> Record:
    """Return where the record behind this one begins."""
    line = record.line + record.data.count(scanner.end)
    return Record(b"", record.number + 1, line, record.offset + len(record.data))


def _block(records: list[Record], scanner: Scanner) -> Block:
    data, first = b"".join(record.data for record in records), records[0]
    lines, marks = data.count(scanner.end), data.count(scanner.mark)
    return Block(data, len(records), first.number, first.line, first.offset, lines, marks)


def _some(block: Block) -> list[Piece]:
    if block.records < 0 or bool(block.records) != bool(block.data):  # else rows would be lost
        raise TransferError(
            f"cannot tell the records from line {block.line} on apart; nothing was kept",
            hint="mend the file around there",
        )
    return [block] if block.records else []


def _even(data: bytes) -> bool:
    """Return whether all newlines are CRLF, also those within quotes."""
    return data.count(b"\r\n") == data.count(b"\n") == data.count(b"\r")


def _misended(record: bytes, scanner: Scanner) -> tuple[str, str] | None:
    """Return what the server says of a record that is not one to it, where they end in CRLF, and of
    no column. It would count other lines than those of the file from there on.
    """
    bare = b"".join(scanner.blank(record).split(scanner.quote)[::2]).removesuffix(b"\r\n")
    signs = (("newline", b"\n"), ("carriage return", b"\r"))
    found = next((name for name, sign in signs if sign in bare), None)
    return (f"unquoted {found} found in data", "") if found else None


def _misshapen(delimiters: int, columns: Sequence[str]) -> tuple[str, str] | None:
    """Return what the server says of a record with so many delimiters, and of which column."""
    if delimiters < len(columns) - 1:
        missing = columns[delimiters + 1]
        return f'missing data for column "{missing}"', missing
    return ("extra data after last expected column", "") if delimiters >= len(columns) else None
