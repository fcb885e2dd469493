"""Good rows in, bad rows out, at near full speed: loading in parts, each under a savepoint.

Records with a wrong number of fields are taken out before anything is sent. From PostgreSQL 17 on
the server itself skips and reports rows with a malformed value. Every other complaint undoes the
part: if it names a line, that record is rejected and those before and behind it are sent again; if
not, the part is halved until one record is left. Parts shrink where bad rows are dense. What refers
to a row of its own table that is not there yet waits, on the disk, until all else is loaded.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import psycopg

from pgstrata.tables import wire
from pgstrata.tables.hierarchy import OwnKey, orphan, orphans, own_keys
from pgstrata.tables.locate import Complaint, Record, complaint, of_row, reject, value_of
from pgstrata.tables.notices import explained, place
from pgstrata.tables.pieces import Piece, Reader, ending_on, on_lines, piece_of, without
from pgstrata.tables.session import refused
from pgstrata.tables.steps import Local, Steps, Wire, query
from pgstrata.tables.strict import accepted, begin, check_count, give_up
from pgstrata.tables.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pgstrata.tables.catalog import Table
    from pgstrata.tables.job import Job
    from pgstrata.tables.records import Block
    from pgstrata.tables.results import Reject

_UNDO = "ROLLBACK TO SAVEPOINT pgstrata_part"
FEW = 16  # records: the smallest part while bad rows are dense


class Sieve:
    """One COPY after the other into one table, keeping count of what came of the records.

    ``meanwhile`` is called when all of a COPY is sent and the server still has to read it.
    """

    def __init__(
        self,
        job: Job,
        table: Table,
        meanwhile: Callable[[], None],
        own_keys: tuple[OwnKey, ...] = (),
    ) -> None:
        self.job = job
        self.loaded = 0
        self.rejects: list[Reject] = []
        self._table, self._meanwhile = table, meanwhile
        self._lenient = job.server >= 17  # noqa: PLR2004  # the module's docstring says it
        self._statement = job.statement(lenient=self._lenient)
        self._before = b"SAVEPOINT pgstrata_part; "
        self._notices: list[str] = []
        self._own_keys = own_keys
        self._scanner = job.scanner
        self._waiting = Waiting(self._scanner)

    def load(self, pieces: Iterator[Piece]) -> Steps[bool]:
        """Load one part; return whether a bad row has undone it, so that it went in pieces."""
        sent: list[Piece] = []
        error = yield from self._attempt(pieces, sent)
        if error is not None:
            yield from self._sift_or_wait(sent, error)
        return error is not None

    def settle(self) -> Steps[None]:
        """Load what has waited for other rows, and reject what has waited in vain."""
        while self._waiting.count:
            pieces = self._waiting.take()
            error = yield from self._attempt(iter(pieces), [])
            if error is None:
                return
            if self._waits(error):
                pieces = yield from self._without_orphans(pieces)
                error = yield from self._attempt(iter(pieces), [])
            if error is not None:
                before = sum(piece.count for piece in pieces)
                yield from self._sift_or_wait(pieces, error)
                if self._waiting.count >= before:
                    self._own_keys = ()  # each waits for another: now every one is looked at

    def watch(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        """Take note of the rows that the server says it has skipped."""
        source, text = diagnostic.source_file or "", diagnostic.message_primary or ""
        if source.endswith("copyfromparse.c"):
            self._notices.append(text)

    def end(self) -> Steps[None]:
        """End the last savepoint."""
        if self._before.startswith(b"SAVEPOINT"):
            return
        undo = self._before.startswith(b"ROLLBACK")
        text = "ROLLBACK TO SAVEPOINT pgstrata_part; " if undo else ""
        yield from query(self.job.connection, text + "RELEASE SAVEPOINT pgstrata_part")

    def close(self) -> None:
        """Drop what still waits."""
        self._waiting.close()

    def _waits(self, error: psycopg.Error) -> bool:
        return error.diag.constraint_name in {key.name for key in self._own_keys}

    def _sift_or_wait(self, sent: list[Piece], error: psycopg.Error) -> Steps[None]:
        if not self._waits(error):
            yield from self._sift([record for piece in sent for record in piece.split()], error)
            return
        if self._notices:  # the server has seen all the rows, and these will never do
            yield from query(self.job.connection, _UNDO)
            known = len(self.rejects)
            yield from self._skipped(sent)
            skipped = {bad.record for bad in self.rejects[known:]}
            sent = without(sent, skipped, self._scanner.mark)
        yield Local(partial(self._waiting.add, sent))

    def _without_orphans(self, pieces: list[Piece]) -> Steps[list[Piece]]:
        job, scanner = self.job, self._scanner
        yield from query(job.connection, _UNDO)
        data = (accepted(piece.read(), job, scanner) for piece in pieces)
        lost = dict((yield from orphans(job, self._table, self._own_keys, data)))
        records = enumerate(record for piece in pieces for record in piece.split())
        found = [(record, lost[index]) for index, record in records if index in lost]
        self.rejects += [orphan(job, record, key) for record, key in found]
        return without(pieces, {record.number for record, _ in found}, scanner.mark)

    def _attempt(self, pieces: Iterator[Piece], sent: list[Piece]) -> Steps[psycopg.Error | None]:
        """Send pieces in one COPY; return the error if one of the rows made it fail."""
        job, connection = self.job, self.job.connection
        self._notices.clear()
        yield from begin(job, self._before + self._statement)
        try:
            while (piece := (yield Local(lambda: next(pieces, None)))) is not None:
                sent.append(piece)
                data = accepted(piece.read(), job, self._scanner)
                yield Wire(connection, wire.write(connection.pgconn, data))
            yield Wire(connection, wire.end(connection.pgconn))
            yield Local(self._meanwhile)
            taken = yield Wire(connection, wire.taken(connection.pgconn))
            if job.deferrable:
                yield from query(connection, "SET CONSTRAINTS ALL IMMEDIATE")
        except psycopg.Error as error:
            self._before = b"ROLLBACK TO SAVEPOINT pgstrata_part; "
            if connection.closed or not of_row(error):
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
                yield from self._sift_or_wait([piece_of(part, self._scanner.mark)], found)
            elif found is not None:
                limit = self._divide(part, found, parts)
            if not parts:
                return
            part = parts.pop()
            if len(part) > limit:
                parts.append(part[limit:])
                part = part[:limit]
            found = yield from self._attempt(iter([piece_of(part, self._scanner.mark)]), [])
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
        index = ending_on(part, [place.line], self._scanner.mark)[0] if place.line else None
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
            yield from self._skipped(sent)

    def _skipped(self, sent: list[Piece]) -> Steps[None]:
        """Reject the rows that the server's notices speak of."""
        places = [place(notice, self.job.target.columns) for notice in self._notices]
        found = on_lines(sent, [said.line for said in places])
        check_count(self.job, len(places), len(found))
        rows = [(record, said.column) for record, said in zip(found, places, strict=True)]
        self.rejects += yield from explained(self.job, self._table, self._notices, rows)


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
    read = Reader(job, blocks, loaded)
    keys = yield from own_keys(job.connection, table)
    sieve = Sieve(job, table, read.look_ahead, keys)
    job.connection.add_notice_handler(sieve.watch)
    try:
        while not read.ended:
            read.adapt(undone=(yield from sieve.load(read.part())))
            if read.ended:
                yield from sieve.settle()
            rejects = sorted(sieve.rejects + read.rejects, key=lambda bad: bad.record)
            yield Local(lambda rejects=rejects: keep(rejects))  # type: ignore[misc]  # bound now
            sieve.rejects, read.rejects = [], []
        yield from sieve.end()
    finally:
        sieve.close()
        job.connection.remove_notice_handler(sieve.watch)
    return read.records, sieve.loaded
