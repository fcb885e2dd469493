"""Committing as it goes, and going on after the last commit.

Each batch is a transaction that also moves the import's row in the ledger, so the table and the
ledger always agree, whatever happens between two instructions.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from pgstrata.errors import PgstrataError, UsageError
from pgstrata.tables.errors import (
    InputError,
    Interrupted,
    OutcomeUnknownError,
    PartialTransferError,
)
from pgstrata.tables.importing import Fitted, Run, close_files, fit_files, load_file, ready_table
from pgstrata.tables.ledger import Ledger, State
from pgstrata.tables.modes import Merge, empty, merge_for
from pgstrata.tables.records import Block, Scanner
from pgstrata.tables.session import in_transaction, transaction
from pgstrata.tables.steps import Local, Steps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgstrata.tables.catalog import Table
    from pgstrata.tables.results import ImportResult


def in_batches(run: Run) -> Steps[ImportResult]:
    """Import with a commit after every ``options.batch`` records.

    Raises ``PartialTransferError`` if some batches are committed and then something fails.
    """
    if in_transaction(run.connection):
        raise UsageError("the connection is in a transaction, so no batch could be committed")
    if run.rejects and len(run.sources) > 1:
        raise UsageError("batches with rejects take one file at a time")
    try:
        table, merge = yield from transaction(run.connection, _ready(run), run.settings)
        for fitted in run.files:
            yield from _File(run, table, merge, fitted).load()
        return run.result(committed=True)
    except PgstrataError as error:
        raise _partial(run, error) from error
    except KeyboardInterrupt as error:
        raise _interrupted(run, error) from error
    finally:
        close_files(run)
        if run.rejects:
            run.rejects.close()


def _ready(run: Run) -> Steps[tuple[Table, Merge]]:
    table = yield from ready_table(run)
    yield from fit_files(run, table)
    options = run.options
    merge = merge_for(table, "append", options.on_conflict, options.key)
    if options.mode == "truncate" and not options.resume:
        yield from empty(run.connection, table)
    return table, merge


class _File:
    """One file on its way in, batch by batch."""

    def __init__(self, run: Run, table: Table, merge: Merge, fitted: Fitted) -> None:
        self._run, self._table, self._merge, self._fitted = run, table, merge, fitted
        given = run.options.import_id
        self._ledger = Ledger(run.connection, table, fitted.file, fitted.columns, given)
        self._digest = hashlib.sha256()

    def load(self) -> Steps[None]:
        """Load what an earlier run has not."""
        run = self._run
        state = yield from transaction(run.connection, self._begin(), run.settings)
        blocks = _Pushback(self._blocks(state), Scanner(self._fitted.file.dialect))
        while (yield Local(blocks.more)):
            state = yield from transaction(run.connection, self._batch(blocks, state), run.settings)
            run.tally.committed = run.loaded + run.resumed
        done = self._ledger.write(replace(state, done=True))
        yield from transaction(run.connection, done, run.settings)

    def _begin(self) -> Steps[State]:
        """Return where to begin.

        Raises ``UsageError`` for an import that was begun and is not to be resumed, ``InputError``
        for a file that is not the one begun.
        """
        file, run = self._fitted.file, self._run
        yield from self._ledger.create()
        known = yield from self._ledger.read()
        if known and not known.done and not run.options.resume:
            raise UsageError(
                f"an earlier import of {file.name} has committed {known.loaded} rows and not ended",
                hint="--resume goes on with it, another --import-id begins anew",
            )
        if known is None or not run.options.resume:
            fresh = State(len(file.before), file.line, 1, self._digest.hexdigest())
            yield from self._ledger.write(fresh)
            return fresh
        yield Local(partial(self._skip, known))
        run.resumed += known.loaded
        if run.rejects:
            run.rejects.resume(known.rejected, known.rejects_size, known.details_size)
        return known

    def _skip(self, known: State) -> None:
        """Read again what is loaded. Raises ``InputError`` if it has changed."""
        file = self._fitted.file
        left, last, rest = known.offset - len(file.before), b"", b""
        for chunk in chain([file.head], file.rest):
            self._digest.update(chunk[:left])
            last, rest = chunk[:left][-1:] or last, chunk[left:]
            left -= len(chunk) - len(rest)
            if not left:
                break
        file.head = rest
        ended = not rest or last in (b"", b"\n", b"\r")  # else the last record has grown
        if left or not ended or self._digest.hexdigest() != known.digest:
            raise InputError(
                f"{file.name} has changed within the {known.record - 1} records that are loaded",
                hint="--resume with the file as it was, or load this one under another --import-id",
            )

    def _blocks(self, state: State) -> Iterator[Block]:
        file = self._fitted.file
        place = Scanner(file.dialect, line=state.line, offset=state.offset, record=state.record)
        return place.blocks(chain([file.head], file.rest))

    def _batch(self, blocks: _Pushback, state: State) -> Steps[State]:
        run = self._run
        loaded = run.loaded
        batch = blocks.take(run.options.batch or 1, self._digest)
        read = yield from load_file(run, self._table, self._merge, self._fitted, batch)
        sizes = (yield Local(run.rejects.sync)) if run.rejects else (0, 0)
        new = State(
            offset=blocks.offset,
            line=blocks.line,
            record=state.record + read,
            digest=self._digest.hexdigest(),
            loaded=state.loaded + run.loaded - loaded,
            rejected=run.rejects.count if run.rejects else 0,
            rejects_size=sizes[0],
            details_size=sizes[1],
        )
        yield from self._ledger.write(new)
        return new


class _Pushback:
    """Blocks that can be taken by the record."""

    def __init__(self, blocks: Iterator[Block], scanner: Scanner) -> None:
        self._blocks, self._scanner = blocks, scanner
        self._held: Block | None = None
        self.offset = self.line = 0

    def more(self) -> bool:
        """Return whether there are records left."""
        if self._held is None:
            self._held = next(self._blocks, None)
        return self._held is not None

    def take(self, records: int, digest: hashlib._Hash) -> Iterator[Block]:
        """Yield blocks of so many records in all, or what is left."""
        while records and self.more() and (block := self._held):
            self._held = None
            if block.records > records:
                block, self._held = self._scanner.cut(block, records)
            records -= block.records
            digest.update(block.data)
            self.offset, self.line = block.offset + len(block.data), block.line + block.lines
            yield block


def _interrupted(run: Run, error: KeyboardInterrupt) -> Interrupted:
    late = isinstance(error, Interrupted) and error.committed
    committed = run.loaded + run.resumed if late else run.tally.committed
    return Interrupted(f"{committed} rows of {run.name} are committed; it can be resumed")


def _partial(run: Run, error: PgstrataError) -> PgstrataError:
    committed = run.tally.committed
    if not committed or isinstance(error, (OutcomeUnknownError, PartialTransferError)):
        return error
    return PartialTransferError(
        f"{committed} rows of {run.name} are committed, then: {error}",
        hint="mend what is wrong and resume: it goes on after the last committed record",
    )
