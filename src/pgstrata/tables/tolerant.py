"""Good rows in, bad rows out, at near full speed: loading in parts, each under a savepoint.

Records with a wrong number of fields are taken out before anything is sent. From PostgreSQL 17 on
the server itself skips and reports rows with a malformed value. Every other complaint undoes the
part: if it names a line, that record is rejected and those before and behind it are sent again; if
not, the part is halved until one record is left. Parts shrink where bad rows are dense. What refers
to a row of its own table that is not there yet waits, on the disk, until all else is loaded.
"""

from __future__ import annotations

from functools import partial
from math import isqrt
from typing import TYPE_CHECKING

import psycopg

from pgstrata.tables import wire
from pgstrata.tables.hierarchy import OwnKey, orphan, orphans, own_keys
from pgstrata.tables.locate import (
    Complaint,
    Record,
    complaint,
    of_row,
    reject,
    split_block,
    value_of,
)
from pgstrata.tables.notices import Skipped
from pgstrata.tables.pieces import PART, Lines, Reader, around, divided, without
from pgstrata.tables.session import refused
from pgstrata.tables.steps import Local, Steps, Wire, query
from pgstrata.tables.strict import accepted, begin, check_count, give_up
from pgstrata.tables.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pgstrata.tables.catalog import Table
    from pgstrata.tables.job import Job
    from pgstrata.tables.records import Block, Piece
    from pgstrata.tables.results import Reject

_UNDO = "ROLLBACK TO SAVEPOINT pgstrata_part"
ATTEMPT = 16 * 1024  # bytes that a server loads in the time that one more COPY takes


class Sieve:
    """One COPY after the other into one table, keeping count of what came of the records.

    ``meanwhile`` is called when all of a COPY is sent and the server still has to read it. With
    more than ``most`` rejects all is undone.
    """

    def __init__(
        self,
        job: Job,
        table: Table,
        meanwhile: Callable[[], None],
        own_keys: tuple[OwnKey, ...],
        most: int,
    ) -> None:
        self.job = job
        self.loaded = 0
        self.rejects: list[Reject] = []
        self._table, self._meanwhile, self._scanner = table, meanwhile, job.scanner
        self._lenient = job.server >= 17  # noqa: PLR2004  # the module's docstring says it
        self._statement = job.statement(lenient=self._lenient)
        self._before = b"SAVEPOINT pgstrata_part; "
        self._skipped = Skipped(job, self._scanner)
        self._own_keys, self._most = own_keys, most
        self._waiting = Waiting()
        self._gap, self._last_bad = PART, 0  # bytes from one bad record to the next, and its offset

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
                before = sum(piece.records for piece in pieces)
                yield from self._sift_or_wait(pieces, error)
                if self._waiting.count >= before:
                    self._own_keys = ()  # each waits for another: now every one is looked at

    def watch(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        """Take note of the rows that the server says it has skipped."""
        source, text = diagnostic.source_file or "", diagnostic.message_primary or ""
        if source.endswith("copyfromparse.c"):
            self._skipped.notices.append(text)

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
            yield from self._sift(sent, error)
            return
        wait: Iterable[Piece] = sent
        if self._skipped.notices:  # the server has seen all the rows, and these will never do
            yield from query(self.job.connection, _UNDO)
            known = len(self.rejects)
            self.rejects += yield from self._skipped.rejects(self._table, sent)
            skipped = {bad.record for bad in self.rejects[known:]}
            wait = without(sent, skipped, self._scanner)
        yield Local(partial(self._waiting.add, wait))

    def _without_orphans(self, pieces: list[Piece]) -> Steps[list[Piece]]:
        job, scanner = self.job, self._scanner
        yield from query(job.connection, _UNDO)
        data = (accepted(piece.data, job, scanner) for piece in pieces)
        lost = dict((yield from orphans(job, self._table, self._own_keys, data, self._most)))
        records = enumerate(record for piece in pieces for record in split_block(piece, scanner))
        found = [(record, lost[index]) for index, record in records if index in lost]
        self.rejects += [orphan(job, record, key) for record, key in found]
        others = without(pieces, {record.number for record, _ in found}, scanner)
        kept: list[Piece] = yield Local(lambda: list(map(self._waiting.stored, others)))
        return kept

    def _attempt(self, pieces: Iterator[Piece], sent: list[Piece]) -> Steps[psycopg.Error | None]:
        """Send pieces in one COPY; return the error if one of the rows made it fail."""
        job, connection = self.job, self.job.connection
        self._skipped = skipped = Skipped(job, self._scanner)
        yield from begin(job, self._before + self._statement)
        try:
            while (piece := (yield Local(lambda: next(pieces, None)))) is not None:
                sent.append(piece)
                data = accepted(piece.data, job, self._scanner)
                yield Wire(connection, wire.write(connection.pgconn, data, to_end=True))
            yield Wire(connection, wire.end(connection.pgconn))
            yield Local(self._meanwhile)
            look = partial(skipped.look, sent)
            taken = yield Wire(connection, wire.taken(connection.pgconn, look))
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

    def _sift(self, pieces: list[Piece], error: psycopg.Error) -> Steps[None]:
        """Load pieces of which at least one record is bad."""
        part = pieces
        parts: list[list[Piece]] = []
        found: psycopg.Error | None = error
        while True:
            if found is not None and self._waits(found):
                yield from self._sift_or_wait(part, found)
            elif found is not None:
                self._divide(part, found, parts)
            if not parts:
                return
            part = self._next(parts)
            found = yield from self._attempt(iter(part), [])

    def _next(self, parts: list[list[Piece]]) -> list[Piece]:
        """Take what is to be tried next off the parts, the first of which is the last in the list.

        Half of an attempt that fails is read in vain, and each attempt costs as much as ATTEMPT
        bytes: for one bad record in ``gap`` bytes the sum of both is least at this length.
        """
        part = parts.pop()
        gap = max(self._gap, part[0].offset - self._last_bad)
        enough = isqrt(2 * gap * ATTEMPT)
        while (size := _size(part)) > 2 * enough:  # by halves: so little is copied again and again
            part, rest = divided(part, size // 2, self._scanner)
            if not rest:
                break
            parts.append(rest)
        return part

    def _divide(self, part: list[Piece], error: psycopg.Error, parts: list[list[Piece]]) -> None:
        """Reject the bad record of a part, or halve it."""
        job, scanner, place = self.job, self._scanner, complaint(error, self.job.target)
        only = sum(piece.records for piece in part) == 1
        record = split_block(part[0], scanner)[0] if only else self._culprit(part, place)
        if record is None:
            parts += reversed(divided(part, _size(part) // 2, scanner))
            return
        self.rejects.append(reject(job.file, record, job.target, error, place.column))
        self._gap = (self._gap + max(0, record.offset - self._last_bad)) // 2
        self._last_bad = record.offset
        parts += [rest for rest in reversed(around(part, record, scanner)) if rest]

    def _culprit(self, part: list[Piece], place: Complaint) -> Record | None:
        """Return the record that a complaint means, if its value is the one complained of."""
        lines = Lines(self._scanner)
        lines.find(part, [place.line] if place.line else [], all_told=True)
        record = lines.found[0] if lines.found else None
        if record is None or not (place.column and place.value):
            return record
        value = value_of(self.job.file, record, self.job.target.columns, place.column)
        return record if (value or "").startswith(place.value.removesuffix("...")) else None

    def _count(self, sent: list[Piece], taken: int) -> Steps[None]:
        """Count what the server took, and reject what it skipped."""
        records = sum(piece.records for piece in sent)
        check_count(self.job, records, taken + len(self._skipped.notices))
        self.loaded += taken
        self.rejects += yield from self._skipped.rejects(self._table, sent)


def _size(pieces: list[Piece]) -> int:
    return sum(piece.size for piece in pieces)


def load(
    job: Job,
    table: Table,
    blocks: Iterator[Block],
    keep: Callable[[list[Reject]], None],
    loaded: Callable[[Block], None],
    most: int,
) -> Steps[tuple[int, int]]:
    """Load the blocks; return how many records were read and how many loaded. More than ``most``
    rejects need not be found.

    ``keep`` gets the rejects in the order of the file, ``loaded`` each block that was sent. Raises
    ``TransferError`` for what is not the fault of a row, and whatever ``keep`` raises.
    """
    read = Reader(job, blocks, loaded)
    keys = yield from own_keys(job.connection, table)
    sieve = Sieve(job, table, read.look_ahead, keys, most)
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
