"""Good rows in, bad rows out, at near full speed: loading in parts, each under a savepoint.

Records with a wrong number of fields are taken out before anything is sent. From PostgreSQL 17 on
the server itself skips and reports rows with a malformed value. Every other complaint undoes the
part: if it names a line, that record is rejected and those before and behind it are sent again; if
not, the part is halved until one record is left. Parts shrink where bad rows are dense. What refers
to a row of its own table that is not there yet waits, in memory, until all else is loaded.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg

from pgstrata.tables import wire
from pgstrata.tables.hierarchy import OwnKey, orphans, own_keys
from pgstrata.tables.locate import (
    Complaint,
    Record,
    complaint,
    records_at,
    reject,
    split_block,
    value_of,
)
from pgstrata.tables.results import Reject
from pgstrata.tables.session import refused
from pgstrata.tables.steps import Local, Steps, Wire, query
from pgstrata.tables.strict import accepted, begin, check_count, give_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pgstrata.tables.catalog import Table
    from pgstrata.tables.job import Job
    from pgstrata.tables.records import Block

PART = 4 * 2**20  # bytes sent under one savepoint
_UNDO = "ROLLBACK TO SAVEPOINT pgstrata_part"
FEW = 16  # records: the smallest part while bad rows are dense
_ROW_CLASSES = ("22", "23", "44", "54", "P0", "42804")  # SQLSTATEs that speak of a row
_REASONS = """
SELECT e.sql_error_code, e.message
FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS v(value, type, place)
CROSS JOIN LATERAL pg_catalog.pg_input_error_info(v.value, v.type) AS e ORDER BY v.place
"""


@dataclass(frozen=True, slots=True)
class Piece:
    """Records to be sent, and how to tell them apart if that becomes necessary.

    ``find`` returns those that end on the given ones of its ``marks``, which count from 1.
    """

    data: bytes
    count: int
    marks: int
    split: Callable[[], list[Record]]
    find: Callable[[list[int]], list[Record]]


class Sieve:
    """One COPY after the other into one table, keeping count of what came of the records."""

    def __init__(self, job: Job, table: Table, own_keys: tuple[OwnKey, ...] = ()) -> None:
        self.job = job
        self.loaded = 0
        self.rejects: list[Reject] = []
        self._table = table
        self._lenient = job.server >= 17  # noqa: PLR2004  # the module's docstring says it
        self._statement = job.statement(lenient=self._lenient)
        self._before = b"SAVEPOINT pgstrata_part; "
        self._notices: list[str] = []
        self._own_keys = own_keys
        self._waiting: list[Piece] = []
        self._scanner = job.scanner

    def load(self, pieces: Iterator[Piece]) -> Steps[None]:
        """Load one part."""
        sent: list[Piece] = []
        error = yield from self._attempt(pieces, sent)
        if error is not None:
            yield from self._sift_or_wait(sent, error)

    def settle(self) -> Steps[None]:
        """Load what has waited for other rows, and reject what has waited in vain."""
        while self._waiting:
            pieces, self._waiting = self._waiting, []
            error = yield from self._attempt(iter(pieces), [])
            if error is None:
                return
            if self._waits(error):
                pieces = yield from self._without_orphans(pieces)
                error = yield from self._attempt(iter(pieces), [])
            if error is not None:
                before = sum(piece.count for piece in pieces)
                yield from self._sift_or_wait(pieces, error)
                if sum(piece.count for piece in self._waiting) >= before:
                    self._own_keys = ()  # each waits for another: now every one is looked at

    def watch(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        """Take note of the rows that the server says it has skipped."""
        source, text = diagnostic.source_file or "", diagnostic.message_primary or ""
        if source.endswith("copyfromparse.c"):
            self._notices.append(text)

    def close(self) -> Steps[None]:
        """End the last savepoint."""
        if self._before.startswith(b"SAVEPOINT"):
            return
        undo = self._before.startswith(b"ROLLBACK")
        text = "ROLLBACK TO SAVEPOINT pgstrata_part; " if undo else ""
        yield from query(self.job.connection, text + "RELEASE SAVEPOINT pgstrata_part")

    def _waits(self, error: psycopg.Error) -> bool:
        return error.diag.constraint_name in {key.name for key in self._own_keys}

    def _sift_or_wait(self, sent: list[Piece], error: psycopg.Error) -> Steps[None]:
        if not self._waits(error):
            yield from self._sift([record for piece in sent for record in piece.split()], error)
            return
        if self._notices:  # the server has seen all the rows, and these will never do
            yield from query(self.job.connection, _UNDO)
            skipped = yield from self._skipped(sent)
            self.rejects += skipped
            sent = _left(sent, {bad.record for bad in skipped}, self._scanner.mark)
        self._waiting += sent

    def _without_orphans(self, pieces: list[Piece]) -> Steps[list[Piece]]:
        job, scanner = self.job, self._scanner
        yield from query(job.connection, _UNDO)
        data = [accepted(piece.data, job, scanner) for piece in pieces]
        lost = dict((yield from orphans(job, self._table, self._own_keys, data)))
        records = enumerate(record for piece in pieces for record in piece.split())
        found = [(record, lost[index]) for index, record in records if index in lost]
        self.rejects += [_orphan(job, record, key) for record, key in found]
        return _left(pieces, {record.number for record, _ in found}, scanner.mark)

    def _attempt(self, pieces: Iterator[Piece], sent: list[Piece]) -> Steps[psycopg.Error | None]:
        """Send pieces in one COPY; return the error if one of the rows made it fail."""
        job, connection = self.job, self.job.connection
        self._notices.clear()
        yield from begin(job, self._before + self._statement)
        try:
            while (piece := (yield Local(lambda: next(pieces, None)))) is not None:
                sent.append(piece)
                data = accepted(piece.data, job, self._scanner)
                yield Wire(connection, wire.write(connection.pgconn, data))
            taken = yield Wire(connection, wire.finish(connection.pgconn))
            if job.deferrable:
                yield from query(connection, "SET CONSTRAINTS ALL IMMEDIATE")
        except psycopg.Error as error:
            self._before = b"ROLLBACK TO SAVEPOINT pgstrata_part; "
            if connection.closed or not (error.sqlstate or "").startswith(_ROW_CLASSES):
                raise refused(error, f"{job.file.name}: nothing was loaded") from error
            return error
        except BaseException:
            yield from give_up(connection)
            raise
        self._before = b"RELEASE SAVEPOINT pgstrata_part; SAVEPOINT pgstrata_part; "
        yield from self._count(sent, taken)
        return None

    def _sift(self, records: list[Record], error: psycopg.Error) -> Steps[None]:
        """Load records of which at least one is bad."""
        parts: list[list[Record]] = []
        part, limit = records, len(records)
        found: psycopg.Error | None = error
        while True:
            if found is not None and self._waits(found):
                yield from self._sift_or_wait([_piece(part, self._scanner.mark)], found)
            elif found is not None:
                limit = self._divide(part, found, parts)
            if not parts:
                return
            part = parts.pop()
            if len(part) > limit:
                parts.append(part[limit:])
                part = part[:limit]
            found = yield from self._attempt(iter([_piece(part, self._scanner.mark)]), [])
            limit *= 2

    def _divide(self, part: list[Record], error: psycopg.Error, parts: list[list[Record]]) -> int:
        """Reject the bad record of a part, or halve it; return the size of the next part."""
        place = complaint(error, self.job.target)
        index = 0 if len(part) == 1 else self._culprit(part, place)
        if index is None:
            half = len(part) // 2
            parts += [part[half:], part[:half]]
            return half
        job = self.job
        self.rejects.append(reject(job.file, part[index], job.target, error, place.column))
        parts += [rest for rest in (part[index + 1 :], part[:index]) if rest]
        return max(FEW, 2 * index)

    def _culprit(self, part: list[Record], place: Complaint) -> int | None:
        """Return the record that a complaint means, if its value is the one complained of."""
        index = _ending_on(part, [place.line], self._scanner.mark)[0] if place.line else None
        if index is None or not (place.column and place.value):
            return index
        value = value_of(self.job.file, part[index], self.job.target.columns, place.column)
        return index if (value or "").startswith(place.value.removesuffix("...")) else None

    def _count(self, sent: list[Piece], taken: int) -> Steps[None]:
        """Count what the server took, and reject what it skipped."""
        records = sum(piece.count for piece in sent)
        check_count(self.job, records, taken + len(self._notices))
        self.loaded += taken
        if self._notices:
            self.rejects += yield from self._skipped(sent)

    def _skipped(self, sent: list[Piece]) -> Steps[list[Reject]]:
        """Return the rows that the server's notices speak of, with the reasons it did not give."""
        columns, file = self.job.target.columns, self.job.file
        places = [_place(notice, columns) for notice in self._notices]
        found = _on_lines(sent, [place.line for place in places])
        check_count(self.job, len(places), len(found))
        rows = [
            (record, place.column, value_of(file, record, columns, place.column))
            for record, place in zip(found, places, strict=True)
        ]
        types = {column.name: column.type for column in self._table.columns}
        reasons = yield from query(
            self.job.connection,
            _REASONS,
            [value for _, _, value in rows],
            [types.get(column, "text") for _, column, _ in rows],
        )
        return [
            Reject(
                file=file.name,
                line=record.line,
                record=record.number,
                offset=record.offset,
                sqlstate=sqlstate or "22P02",
                message=message or notice,
                column=column,
                value=value,
                data=record.data,
            )
            for (record, column, value), (sqlstate, message), notice in zip(
                rows, reasons, self._notices, strict=True
            )
        ]


def load(
    job: Job,
    table: Table,
    blocks: Iterator[Block],
    keep: Callable[[list[Reject]], None],
    loaded: Callable[[Block], None],
) -> Steps[tuple[int, int]]:
    """Load the blocks; return how many records were read and how many loaded.

    ``keep`` gets the rejects in the order of the file, ``loaded`` each block that was sent. Raises
    ``TransferError`` for what is not the fault of a row, and whatever ``keep`` raises.
    """
    keys = yield from own_keys(job.connection, table)
    sieve, read = Sieve(job, table, keys), _Reader(job, blocks, loaded)
    job.connection.add_notice_handler(sieve.watch)
    try:
        while not read.ended:
            yield from sieve.load(read.part())
            if read.ended:
                yield from sieve.settle()
            rejects = sorted(sieve.rejects + read.rejects, key=lambda bad: bad.record)
            yield Local(lambda rejects=rejects: keep(rejects))  # type: ignore[misc]  # bound now
            sieve.rejects, read.rejects = [], []
        yield from sieve.close()
    finally:
        job.connection.remove_notice_handler(sieve.watch)
    return read.records, sieve.loaded


class _Reader:
    """Hands out parts of the file without the records that have a wrong number of fields."""

    def __init__(self, job: Job, blocks: Iterator[Block], loaded: Callable[[Block], None]) -> None:
        self.ended = False
        self.records = 0
        self.rejects: list[Reject] = []
        self._job, self._blocks, self._loaded = job, blocks, loaded
        self._scanner = job.scanner
        self._delimiter = job.file.dialect.delimiter.encode()

    def part(self) -> Iterator[Piece]:
        """Yield pieces up to the size of a part."""
        size = 0
        while size < PART:
            block = next(self._blocks, None)
            if block is None:
                self.ended = True
                return
            self.records += block.records
            size += len(block.data)
            yield self._piece(block)
            self._loaded(block)

    def _piece(self, block: Block) -> Piece:
        expected = len(self._job.target.columns) - 1
        shapes = self._scanner.shapes(block.data, self._delimiter)[: block.records]
        if shapes.count(self._delimiter * expected) == block.records:
            return Piece(
                block.data,
                block.records,
                block.marks,
                lambda: split_block(block, self._scanner),
                lambda marks: records_at(block, marks, self._scanner),
            )
        good = []
        for record, shape in zip(split_block(block, self._scanner), shapes, strict=False):
            if len(shape) == expected:
                good.append(record)
            else:
                self.rejects.append(_misshapen(self._job, record, len(shape)))
        return _piece(good, self._scanner.mark)


def _piece(records: list[Record], mark: bytes) -> Piece:
    data = b"".join(record.data for record in records)

    def find(marks: list[int]) -> list[Record]:
        found = _ending_on(records, [number + 1 for number in marks], mark)
        return [records[index] for index in found if index is not None]

    return Piece(data, len(records), data.count(mark), lambda: records, find)


def _left(pieces: list[Piece], rejected: set[int], mark: bytes) -> list[Piece]:
    """Return the pieces without some records, which are given by number."""
    if not rejected:
        return pieces
    kept = [[r for r in piece.split() if r.number not in rejected] for piece in pieces]
    return [_piece(records, mark) for records in kept if records]


def _orphan(job: Job, record: Record, key: OwnKey) -> Reject:
    column = key.columns[0]
    return Reject(
        file=job.file.name,
        line=record.line,
        record=record.number,
        offset=record.offset,
        sqlstate="23503",
        message=f'the row that "{key.name}" refers to is neither in the table nor in the file',
        column=column,
        value=value_of(job.file, record, job.target.columns, column),
        data=record.data,
    )


def _on_lines(pieces: list[Piece], lines: list[int]) -> list[Record]:
    """Return the records that end on the server's lines, which ascend behind a header line."""
    found: list[Record] = []
    before, place = 1, 0
    for piece in pieces:
        after = before + piece.marks if piece is not pieces[-1] else sys.maxsize
        wanted = [line - before for line in lines[place:] if line <= after]
        found += piece.find(wanted) if wanted else []
        before, place = before + piece.marks, place + len(wanted)
    return found


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


def _ending_on(records: list[Record], lines: list[int], mark: bytes) -> list[int | None]:
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


def _place(notice: str, columns: tuple[str, ...]) -> Complaint:
    """Read a notice: ``… at line 5 for column "x": "abc"``, in any language."""
    line = re.search(r"\d+", notice)
    named = {
        match.start(): column
        for column in sorted(columns, key=len)
        if (match := re.search(rf'["„«»“]\s?{re.escape(column)}\s?["“»«”]', notice))
    }
    return Complaint(int(line[0]) if line else 0, named[min(named)] if named else "")
