"""Committing as it goes, and going on after the last commit.

Each batch is a transaction that also moves the import's row in the ledger, so the table and the
ledger always agree, whatever happens between two instructions.
"""

from __future__ import annotations

import hashlib
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from pgstrata.errors import UsageError
from pgstrata.tables.errors import (
    InputError,
    Interrupted,
    TransferError,
    part_kept,
)
from pgstrata.tables.importing import (
    Fitted,
    Run,
    close_files,
    fit_files,
    follow_sequences,
    ready_table,
)
from pgstrata.tables.ledger import Begun, Ledger, State, ids_of
from pgstrata.tables.load import load_file
from pgstrata.tables.modes import Merge, empty, merge_for
from pgstrata.tables.records import Block, Scanner
from pgstrata.tables.session import in_transaction, transaction, was_committed
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
        files = yield from transaction(run.connection, _ready(run), run.settings)
        return (yield from _loaded(run, files))
    except Interrupted as error:
        if not error.committed:
            raise
        raise _interrupted(run, error) from error
    finally:
        close_files(run)
        if run.rejects:
            run.rejects.close()


def _ready(run: Run) -> Steps[list[_File]]:
    """Find out where to begin, and empty the table if that is at the beginning.

    All in one transaction: a table that is emptied belongs to an import that is begun.
    """
    table = yield from ready_table(run)
    yield from fit_files(run, table)
    options = run.options
    merge = merge_for(table, "append", options.on_conflict, options.key)
    named = [(fitted.file.name, fitted.columns) for fitted in run.files]
    ids = ids_of(named, table, options.import_id)
    files = [_File(run, table, merge, *pair) for pair in zip(run.files, ids, strict=True)]
    yield from _begin(run, files)
    if options.mode == "truncate" and all(file.state.record == 1 for file in files):
        yield from empty(run.connection, table)
        run.emptied = True
    return files


def _begin(run: Run, files: list[_File]) -> Steps[None]:
    """Find out how far earlier runs have come with each file, or note that they begin.

    Raises ``UsageError`` for an import that was begun and is not to be resumed, or is not the one
    that was begun; ``InputError`` for a file that has changed.
    """
    yield from files[0].ledger.create()
    for file in files:
        file.known = yield from file.ledger.read()
    states = [file.known for file in files if file.known]
    _refuse_other_table(files, states, resume=run.options.resume)
    if not run.options.resume:
        _refuse_begun(files, states)
    elif not states and not run.options.import_id:
        _refuse_another(files[0], (yield from files[0].ledger.begun()))
    for file in files:
        yield from file.begin()


def _refuse_other_table(files: list[_File], states: list[State], *, resume: bool) -> None:
    """Only a given id can be that of another table, whose rows are not in this one."""
    beginning = files[0].state
    if any(state.table != beginning.table and (resume or not state.done) for state in states):
        raise UsageError(
            f"--import-id {files[0].ledger.id} is that of another table, or its table was made"
            " anew",
            hint="another --import-id begins anew",
        )


def _refuse_begun(files: list[_File], states: list[State]) -> None:
    loaded = sum(state.loaded for state in states)
    unfinished = any(not state.done for state in states)
    if unfinished and any(state.record > 1 for state in states):
        raise UsageError(
            f"an earlier import of {files[0].name} has committed {loaded} rows and not ended",
            hint="--resume goes on with it, another --import-id begins anew",
        )


def _refuse_another(file: _File, begun: list[Begun]) -> None:
    if begun:
        other = begun[0]
        raise UsageError(
            f"no import of {file.name} with these columns was begun, but one of {other.source} has"
            f" committed {other.loaded} rows and not ended",
            hint=f"--import-id {other.id} goes on with that one; without --resume this begins anew",
        )


def _loaded(run: Run, files: list[_File]) -> Steps[ImportResult]:
    """Load all files; whatever goes wrong, say what is committed."""
    run.tally.committed = run.resumed
    try:
        for file in files:
            yield from file.load()
        return run.result(committed=True)
    except Exception as error:  # also what nobody has foreseen
        if was_committed(error):
            run.tally.committed = run.loaded + run.resumed
        if not (run.tally.committed or run.ddl or run.emptied):
            raise
        raise part_kept(_kept(run), error) from error
    except KeyboardInterrupt as error:
        raise _interrupted(run, error) from error


class _File:
    """One file on its way in, batch by batch."""

    def __init__(
        self, run: Run, table: Table, merge: Merge, fitted: Fitted, import_id: str
    ) -> None:
        self._run, self._table, self._merge, self._fitted = run, table, merge, fitted
        self.name = fitted.file.name
        self.ledger = Ledger(run.connection, table, self.name, import_id)
        self.known: State | None = None
        self._digest = hashlib.sha256()
        place = len(fitted.file.before), fitted.file.line, 1
        self.state = State(table.oid, *place, self._digest.hexdigest())

    def begin(self) -> Steps[None]:
        """Go to where an earlier run has come, or note in the ledger that this one begins."""
        run, known = self._run, self.known
        if known is None or not run.options.resume:
            if run.rejects:
                run.rejects.refuse_existing()
            yield from self.ledger.write(self.state)
            return
        self.state = known
        yield Local(partial(self._skip, known))
        run.resumed += known.loaded
        if run.rejects:
            run.rejects.resume(known)

    def load(self) -> Steps[None]:
        """Load what an earlier run has not."""
        blocks = _Pushback(self._blocks(self.state), Scanner(self._fitted.file.dialect))
        while (yield Local(blocks.more)):
            yield from self._move(self._batch(blocks))
            self._run.tally.committed = self._run.loaded + self._run.resumed
        yield from self._move(self._end())

    def _move(self, change: Steps[State]) -> Steps[None]:
        """Go from one state to the next, which is a transaction of its own."""
        body = self._moved(change)
        self.state = yield from transaction(self._run.connection, body, self._run.settings)

    def _moved(self, change: Steps[State]) -> Steps[State]:
        if (yield from self.ledger.read()) != self.state:
            raise TransferError(
                f"another run has gone on with the import of {self.name}",
                hint="let it end, and resume then if that is still necessary",
            )
        state = yield from change
        yield from self.ledger.write(state)
        return state

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

    def _batch(self, blocks: _Pushback) -> Steps[State]:
        run, state, loaded = self._run, self.state, self._run.loaded
        batch = blocks.take(run.options.batch or 1, self._digest)
        read = yield from load_file(run, self._table, self._merge, self._fitted, batch)
        new = state._replace(
            offset=blocks.offset,
            line=blocks.line,
            record=state.record + read,
            digest=self._digest.hexdigest(),
            loaded=state.loaded + run.loaded - loaded,
            done=False,
        )
        if not run.rejects:
            return new
        sizes = yield Local(run.rejects.sync)
        count = run.rejects.count
        return new._replace(rejected=count, rejects_size=sizes[0], details_size=sizes[1])

    def _end(self) -> Steps[State]:
        yield from follow_sequences(self._run, self._run.connection, self._table)
        if self._run.rejects:
            yield Local(self._run.rejects.drop_earlier)
        return self.state._replace(done=True)


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
    if was_committed(error):
        run.tally.committed = run.loaded + run.resumed
    return Interrupted(f"{_kept(run)}; it can be resumed")


def _kept(run: Run) -> str:
    before = "created" if run.ddl else "emptied" if run.emptied else ""
    said = f", and the table was {before} before" if before else ""
    return f"{run.tally.committed} rows of {run.name} are committed{said}"
