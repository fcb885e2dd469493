"""Several connections load one file at the same time.

One scanner cuts the file at the borders of records; each connection takes the next piece when it
has sent its last. None commits before all have ended their COPY and the rows add up, so only the
milliseconds of the commits themselves are not one transaction: what they leave is said exactly.
"""

from __future__ import annotations

from functools import partial
from threading import Lock
from typing import TYPE_CHECKING

from psycopg.errors import LockNotAvailable

from pgstrata.errors import UsageError
from pgstrata.tables import strict
from pgstrata.tables.errors import (
    Interrupted,
    OutcomeUnknownError,
    PartialTransferError,
    TransferError,
)
from pgstrata.tables.header import IGNORED
from pgstrata.tables.importing import Fitted, Run, close_files, fit_files, ready_table
from pgstrata.tables.job import Job
from pgstrata.tables.modes import Merged
from pgstrata.tables.session import apply, commit, in_transaction
from pgstrata.tables.statement import Target
from pgstrata.tables.steps import AnyConnection, Steps, Together, query

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pgstrata.tables.catalog import Table
    from pgstrata.tables.records import Block
    from pgstrata.tables.results import ImportResult

LOCK_TIMEOUT = (
    "5s"  # two connections that load the same key wait for each other, unseen by the server
)


def together(run: Run, workers: Sequence[AnyConnection]) -> Steps[ImportResult]:
    """Import over the run's own connection and the ``workers``; the order of rows is not kept.

    Raises ``UsageError`` for what only one transaction can do.
    """
    _refuse_impossible(run)
    connections = [run.connection, *workers]
    for connection in connections:
        if in_transaction(connection):
            raise UsageError("a connection that loads in parallel is already in a transaction")
    try:
        for connection in connections:
            if connection.autocommit:
                yield from query(connection, "BEGIN")
            yield from apply(connection, {**run.settings, "lock_timeout": LOCK_TIMEOUT})
        ranges = yield from _load(run, connections)
        result = run.result(committed=not run.options.dry_run)
        if not run.options.dry_run:
            yield from _commit(run, connections, ranges)
    except Interrupted:
        raise
    except KeyboardInterrupt as error:
        raise Interrupted("nothing was kept") from error
    finally:
        close_files(run)
        yield Together([_undo(connection) for connection in connections])
    return result


def _explained(error: BaseException) -> BaseException:
    """Add what the server cannot know: that the lock it waited for is one of ours."""
    if isinstance(error, TransferError) and isinstance(error.__cause__, LockNotAvailable):
        error.hint = (
            "a key that is twice in the file makes connections wait for each other: use one"
        )
    return error


class Shared:
    """The blocks of a file, handed to whichever connection asks next, and what each has got."""

    def __init__(self, blocks: Iterator[Block]) -> None:
        self._blocks, self._lock = blocks, Lock()
        self._failed = False

    def lane(self, taken: list[tuple[int, int]]) -> Iterator[Block]:
        """Yield blocks until there are none left, or one of the connections has failed."""
        while (block := self._next()) is not None:
            last = block.record + block.records - 1
            if taken and taken[-1][1] == block.record - 1:
                taken[-1] = (taken[-1][0], last)
            else:
                taken.append((block.record, last))
            yield block

    def fail(self) -> None:
        """Let the others end."""
        self._failed = True

    def _next(self) -> Block | None:
        with self._lock:
            return None if self._failed else next(self._blocks, None)


def _refuse_impossible(run: Run) -> None:
    options = run.options
    for wrong, what in (
        (options.mode != "append", f"mode {options.mode}"),
        (options.on_conflict != "error", "on_conflict"),
        (options.rejects is not None, "rejects"),
        (options.batch is not None, "batch"),
        (options.verify, "verify"),
    ):
        if wrong:
            raise UsageError(f"{what} needs one transaction, and so one connection only")


def _load(run: Run, connections: list[AnyConnection]) -> Steps[list[list[tuple[int, int]]]]:
    table = yield from ready_table(run)
    if run.ddl:
        raise UsageError(
            "other connections do not see a table that is not committed: create it first"
        )
    yield from fit_files(run, table)
    ranges: list[list[tuple[int, int]]] = [[] for _ in connections]
    for fitted in run.files:
        if IGNORED in fitted.columns:
            raise UsageError("leaving fields out needs one connection only")
        shared = Shared(fitted.file.blocks())
        lanes = [
            _lane(run, _job(connection, table, fitted, run, len(connections)), shared, taken)
            for connection, taken in zip(connections, ranges, strict=True)
        ]
        outcomes: list[int | BaseException] = yield Together(
            lanes, partial(_stop, shared, connections)
        )
        if errors := [outcome for outcome in outcomes if isinstance(outcome, BaseException)]:
            raise _explained(errors[0])
        read = sum(outcome for outcome in outcomes if isinstance(outcome, int))
        run.count(read, Merged(read))
    return ranges


def _stop(shared: Shared, connections: list[AnyConnection]) -> None:
    """Let all lanes end now, also one that waits for a lock."""
    shared.fail()
    for connection in connections:
        if not connection.closed:
            connection.pgconn.get_cancel().cancel()


def _job(connection: AnyConnection, table: Table, fitted: Fitted, run: Run, lanes: int) -> Job:
    target = Target(table.identifier, table.name, fitted.columns)
    return Job(connection, target, fitted.file, run.options.empty_as_null, lanes=lanes)


def _lane(run: Run, job: Job, shared: Shared, taken: list[tuple[int, int]]) -> Steps[int]:
    def told(block: Block) -> None:
        run.tally.add(block.records, job.file.input.position())

    try:
        loaded = yield from strict.load(job, shared.lane(taken), told)
        yield from query(job.connection, "SET CONSTRAINTS ALL IMMEDIATE")
    except BaseException:
        shared.fail()
        raise
    return loaded


def _commit(
    run: Run, connections: list[AnyConnection], ranges: list[list[tuple[int, int]]]
) -> Steps[None]:
    for number, connection in enumerate(connections):
        try:
            yield from commit(connection)
        except Interrupted as error:
            ended = number + int(error.committed)
            if ended in (0, len(connections)):
                raise
            raise _divided(run, ranges, ended, "are not", error) from error
        except Exception as error:  # each commit has an end of its own
            if number == 0 and not isinstance(error, OutcomeUnknownError):
                raise TransferError(f"nothing was loaded into {run.name}: {error}") from error
            doubtful = "are or are not" if isinstance(error, OutcomeUnknownError) else "are not"
            raise _divided(run, ranges, number, doubtful, error) from error


def _divided(
    run: Run,
    ranges: list[list[tuple[int, int]]],
    number: int,
    doubtful: str,
    error: BaseException,
) -> PartialTransferError:
    """Return the error that says what the first ``number`` connections have committed."""
    return PartialTransferError(
        f"{run.name} holds the records {_listed(ranges[:number])}; those from"
        f" {_listed(ranges[number : number + 1])} {doubtful}, the others are not: {error}",
        hint="delete what is there, or load the other records",
    )


def _listed(ranges: list[list[tuple[int, int]]]) -> str:
    pairs = sorted(pair for lane in ranges for pair in lane)
    return ", ".join(f"{first}-{last}" for first, last in pairs) or "(none)"


def _undo(connection: AnyConnection) -> Steps[None]:
    if not connection.closed:
        yield from query(connection, "ROLLBACK")
