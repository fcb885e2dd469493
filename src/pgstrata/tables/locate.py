"""From what the server says about a line to the record of the file that it means."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import deque
from itertools import accumulate, repeat
from typing import TYPE_CHECKING, NamedTuple

from pgstrata.tables.dialect import split
from pgstrata.tables.encoding import likely
from pgstrata.tables.errors import RowError
from pgstrata.tables.prepare import read_again
from pgstrata.tables.results import Reject
from pgstrata.tables.session import IN_THE_WAY, said

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from pgstrata.tables.prepare import Opened
    from pgstrata.tables.records import Block, Piece, Scanner
    from pgstrata.tables.statement import Target

KEPT = 8 * 2**20  # bytes; the server was never seen to lag behind by more than half of it
# SQLSTATEs that speak of a row; 45 is what triggers raise on their own account.
_ROW_CLASSES = ("22", "23", "44", "45", "54", "P0", "42804")
_REJECTS = "a file for rejects (--rejects) takes the bad rows and lets the good ones in"
_ENDS = "--normalize-eol takes a file of which some records end in LF and some in CRLF"
PLACES = 1024  # blocks of which only the place is kept, where several connections share KEPT


class Complaint(NamedTuple):
    """What a server's message names: a line (0: none), a column, and how its value begins."""

    line: int
    column: str = ""
    value: str = ""


class Record(NamedTuple):
    """One record and its place in the file; see ``Block``."""

    data: bytes
    number: int
    line: int
    offset: int


class Sent:
    """The last blocks that were sent in one COPY, to find a record again by the server's line.

    Of those before the last ``kept`` bytes only the place is known: they are read once more.
    """

    def __init__(self, file: Opened, kept: int = KEPT) -> None:
        self._file, self._kept = file, kept
        self._blocks: deque[tuple[int, Block]] = deque()
        self._places: deque[tuple[int, Block, int]] = deque(maxlen=PLACES)
        self._size = 0
        self._marks = 1  # the header line

    def add(self, block: Block) -> None:
        """Remember a block, and of the oldest ones only the places."""
        self._blocks.append((self._marks, block))
        self._marks += block.marks
        self._size += len(block.data)
        while self._size - len(self._blocks[0][1].data) > self._kept:
            before, oldest = self._blocks.popleft()
            self._places.append((before, oldest._replace(data=b""), len(oldest.data)))
            self._size -= len(oldest.data)

    def find(self, line: int, scanner: Scanner) -> Record | None:
        """Return the record that ends on the server's ``line``, or None if it is forgotten."""
        for before, place, size in self._places:
            if before < line <= before + place.marks and self._file.repeatable:
                data = read_again(self._file, place.offset, size)
                return records_at(place._replace(data=data), [line - before], scanner)[0]
        for before, block in self._blocks:
            if before < line <= before + block.marks or block is self._blocks[-1][1]:
                found = records_at(block, [line - before], scanner) if line > before else [None]
                return found[0]
        return None


def of_row(error: psycopg.Error) -> bool:
    """Return whether it is a row that made a statement fail."""
    return (error.sqlstate or "").startswith(_ROW_CLASSES)


def complaint(error: psycopg.Error, target: Target) -> Complaint:
    """Read the context of an error: ``COPY name, line 5, column x: "value"``, in any language.

    Triggers and JSON values put lines of their own before it. Names and values may be of several.
    """
    context = error.diag.context or ""
    found = re.search(rf"^COPY {re.escape(target.name)}, \S+ (\d+)", context, re.MULTILINE)
    if not found:
        return Complaint(0, error.diag.column_name or "")
    rest = context[found.end() :]
    named = (c for c in target.columns if re.match(rf", \S+ {re.escape(c)}(?:[:\n]|$)", rest))
    column = max(named, key=len, default=error.diag.column_name or "")
    quoted = re.search(r'[:\uff1a] ["„«»“](.*)["“»«”]$', rest, re.DOTALL)
    return Complaint(int(found[1]), column, quoted[1] if quoted else "")


def split_block(block: Piece, scanner: Scanner) -> list[Record]:
    """Return the records of a block."""
    records = []
    line, offset = block.line, block.offset
    for number, data in enumerate(scanner.split(block.data), block.record):
        records.append(Record(data, number, line, offset))
        line += data.count(scanner.end)
        offset += len(data)
    return records


def records_at(block: Piece, marks: Sequence[int], scanner: Scanner) -> list[Record]:
    """Return the records of which the server means a line. Lines count from 1 in the block, and
    ascend.

    It names the last line of a record that it has read, but the line where it has come of one with
    a byte that it cannot read. A record goes on for as long as the number of quotes is odd.
    """
    held = block.data
    plain = scanner.blank(held)
    lines = plain.removesuffix(scanner.end).split(scanner.end)
    quotes = accumulate(map(bytes.count, lines, repeat(scanner.quote)))
    ended = [not count & 1 for count in quotes]
    ended[-1] = True  # at the end of a file: the last record is never closed
    numbers = list(accumulate(ended, initial=block.record))
    starts = list(accumulate((len(line) + 1 for line in lines), initial=0))
    found = []
    for place in _places(lines, ended, marks, scanner):
        first = last = place
        while first and not ended[first - 1]:
            first -= 1
        while not ended[last]:
            last += 1
        data = held[starts[first] : starts[last + 1]]
        line, offset = block.line + first, block.offset + starts[first]
        found.append(Record(data, numbers[first], line, offset))
    return found


def _places(
    lines: Sequence[bytes], ended: Sequence[bool], marks: Sequence[int], scanner: Scanner
) -> list[int]:
    """Return which of the lines those are that the server counts so. Where lines end in CRLF it
    counts the CR, also one within quotes, and not a line feed that stands there alone.
    """
    if scanner.mark != scanner.end:
        told = (
            line.count(scanner.mark) or int(end) for line, end in zip(lines, ended, strict=True)
        )
        counts = list(accumulate(told))
        return [min(bisect_left(counts, mark), len(lines) - 1) for mark in marks]
    return [min(mark, len(lines)) - 1 for mark in marks]


def reject(
    file: Opened, record: Record, target: Target, error: psycopg.Error, column: str
) -> Reject:
    """Return what is to be reported of a record that the server refused."""
    value = value_of(file, record, target.columns, column)
    message = said(error).replace(target.name, target.table or target.name)
    return report(file, record, error.sqlstate or "", message, column, value)


def report(  # what is known of a record that is bad
    file: Opened,
    record: Record,
    sqlstate: str,
    message: str,
    column: str,
    value: str | None = None,
) -> Reject:
    """Return what is to be reported of a record, for whatever reason it is bad."""
    return Reject(
        file=file.name,
        line=record.line,
        record=record.number,
        offset=record.offset,
        sqlstate=sqlstate,
        message=message,
        column=column,
        value=value,
        data=record.data,
    )


def value_of(file: Opened, record: Record, columns: Sequence[str], column: str) -> str | None:
    """Return the value of a column in a record, None for NULL or if there is no such field."""
    fields = split(file.text(record.data), file.dialect)
    place = columns.index(column) if column in columns else len(fields)
    return fields[place] if place < len(fields) else None


def row_error(bad: Reject, file: Opened, scanner: Scanner) -> RowError:
    """Return the error of a strict import, with the advice that fits."""
    newline = file.dialect.newline
    ends = {_end_of(record) for record in scanner.split(bad.data)} - {""}
    mixed = newline != "\r" and not file.normalize_eol and not ends <= {newline}
    advice = {
        "22021": "" if b"\0" in bad.data else likely(bad.data),
        "22P04": _ENDS if mixed else "",
        "23505": IN_THE_WAY,
    }
    return RowError(bad, hint=advice.get(bad.sqlstate) or _REJECTS)


def _end_of(record: bytes) -> str:
    """Return the newline of a record, as far as it has one."""
    return next((end for end in ("\r\n", "\n", "\r") if record.endswith(end.encode())), "")
