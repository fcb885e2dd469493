"""Several connections load one file at the same time.

One scanner cuts the file at the borders of records; each connection takes the next piece when it
has sent its last. None commits before all have ended their COPY and the rows add up, so only the
milliseconds of the commits themselves are not one transaction: what they leave is said exactly.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

import psycopg
from psycopg.errors import ForeignKeyViolation, LockNotAvailable

from pgstrata.errors import UsageError
from pgstrata.tables import strict
from pgstrata.tables.errors import (
    Interrupted,
    OutcomeUnknownError,
    PartialTransferError,
    TransferError,
)
from pgstrata.tables.hierarchy import OwnKey, own_keys
from pgstrata.tables.importing import (
    Fitted,
    Run,
    close_files,
    fit_files,
    follow_sequences,
    ready_table,
)
from pgstrata.tables.job import Job
from pgstrata.tables.load import teller
from pgstrata.tables.modes import Merge, Merged, close_target, open_target
from pgstrata.tables.session import (
    TooLateError,
    apply,
    assigned_xid,
    commit,
    in_transaction,
    refused,
    too_late,
    was_committed,
)
from pgstrata.tables.steps import AnyConnection, Steps, Together, query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pgstrata.tables.catalog import Table
    from pgstrata.tables.records import Block
    from pgstrata.tables.results import ImportResult

LOCK_TIMEOUT = (
    "5s"  # two connections that load the same key wait for each other, unseen by the server
)
CANCEL_SECONDS = 5.0  # for all connections; one that hears nothing ends with its lock or its data
_PLAIN = Merge()  # appends, through a staging table only where fields are left out


def together(run: Run, workers: Sequence[AnyConnection]) -> Steps[ImportResult]:
    """Import over the run's own connection and the ``workers``; the order of rows is not kept.

    Raises ``UsageError`` for what only one transaction can do, ``PartialTransferError`` or
    ``OutcomeUnknownError`` if something was kept, or may have been, else another ``TransferError``.
    """
    _refuse_impossible(run)
    connections = [run.connection, *workers]
    for connection in connections:
        if in_transaction(connection):
            raise UsageError("a connection that loads in parallel is already in a transaction")
    try:
        ranges = yield from _load(run, connections)
        result = run.result(committed=not run.options.dry_run)
        if run.options.dry_run:
            yield from _undo(connections)
        else:
            yield from _commit(run, connections, ranges)
    except BaseException as error:
        with suppress(asyncio.CancelledError, KeyboardInterrupt):  # the error says what is kept
            yield from _undo(connections)
        if isinstance(error, psycopg.Error):
            raise refused(error, "nothing was kept") from error
        if isinstance(error, KeyboardInterrupt) and not isinstance(error, Interrupted):
            raise Interrupted("nothing was kept") from error
        raise
    finally:
        close_files(run)
    return result


def _explained(error: BaseException, keys: Sequence[OwnKey]) -> BaseException:
    """Add what the server cannot know: that it is one of our connections that is in the way."""
    cause = error.__cause__
    if not isinstance(error, TransferError):
        return error
    if isinstance(cause, LockNotAvailable):
        error.hint = (
            "a key that is twice in the file makes connections wait for each other: use one"
        )
    elif isinstance(cause, ForeignKeyViolation) and cause.diag.constraint_name in {
        key.name for key in keys
    }:
        error.hint = (
            "connections do not see each other's rows: use one if the row meant is in the file too"
        )
    return error


@dataclass(slots=True)
class Range:
    """Records of a file that one connection has got, counted from 1."""

    file: str
    first: int
    last: int


class Shared:
    """The blocks of a file, handed to whichever connection asks next, and what each has got."""

    def __init__(self, file: str, blocks: Iterator[Block]) -> None:
        self._file, self._blocks, self._lock = file, blocks, Lock()
        self._failed = False

    def lane(self, taken: list[Range]) -> Iterator[Block]:
        """Yield blocks until there are none left, or one of the connections has failed."""
        own = Range(self._file, 1, 0)
        while (block := self._next()) is not None:
            if own.last != block.record - 1 or not own.last:
                own = Range(self._file, block.record, 0)
                taken.append(own)
            own.last = block.record + block.records - 1
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


def _load(run: Run, connections: list[AnyConnection]) -> Steps[list[list[Range]]]:
    for connection in connections:
        if connection.autocommit:
            yield from query(connection, "BEGIN")
        yield from apply(connection, {**run.settings, "lock_timeout": LOCK_TIMEOUT})
    table = yield from ready_table(run)
    if run.ddl:
        raise UsageError(
            "other connections do not see a table that is not committed: create it first"
        )
    yield from fit_files(run, table)
    keys = yield from own_keys(run.connection, table)
    ranges: list[list[Range]] = [[] for _ in connections]
    for fitted in run.files:
        shared = Shared(fitted.file.name, fitted.file.blocks())
        told = teller(run, fitted)
        lanes = [
            _lane(_Lane(connection, fitted, shared, taken), run, table, told, len(connections))
            for connection, taken in zip(connections, ranges, strict=True)
        ]
        outcomes: list[int | BaseException] = yield Together(
            lanes, partial(_stop, shared, connections)
        )
        if errors := [outcome for outcome in outcomes if isinstance(outcome, BaseException)]:
            raise _explained(errors[0], keys)
        read = sum(outcome for outcome in outcomes if isinstance(outcome, int))
        run.count(read, Merged(read))
    for connection in connections:  # none sees the others' rows
        yield from follow_sequences(run, connection, table)
    return ranges


def _stop(shared: Shared, connections: list[AnyConnection]) -> None:
    """Let all lanes end now, also one that waits for a lock, as far as servers can be reached."""
    from pgstrata.connect.cancelling import cancel

    shared.fail()
    cancel(connections, CANCEL_SECONDS)


class _Lane(NamedTuple):
    """One connection, and what it has got of a file."""

    connection: AnyConnection
    fitted: Fitted
    shared: Shared
    taken: list[Range]


def _lane(
    lane: _Lane, run: Run, table: Table, told: Callable[[Block], None], lanes: int
) -> Steps[int]:
    """Load a share of a file; return how many rows that is. Nothing is committed."""
    connection, fitted = lane.connection, lane.fitted
    try:
        target = yield from open_target(connection, table, fitted.columns, _PLAIN)
        job = Job(connection, target, fitted.file, run.options.empty_as_null, lanes=lanes)
        loaded = yield from strict.load(job, lane.shared.lane(lane.taken), told)
        yield from close_target(connection, table, target, _PLAIN, loaded)
        yield from query(connection, "SET CONSTRAINTS ALL IMMEDIATE")
    except BaseException as error:
        lane.shared.fail()
        if isinstance(error, psycopg.Error):
            raise refused(error, "nothing was kept") from error
        raise
    return loaded


def _commit(run: Run, connections: list[AnyConnection], ranges: list[list[Range]]) -> Steps[None]:
    """Commit one after the other; whatever goes wrong, say what is in the table."""
    xids, ended = [], 0
    try:
        for connection in connections:
            xids.append((yield from assigned_xid(connection)))  # noqa: PERF401  # that cannot yield
        for connection, xid in zip(connections, xids, strict=True):
            yield from commit(connection, xid)
            ended += 1
    except BaseException as error:
        ended += int(was_committed(error))
        if ended == len(connections):
            raise too_late(error, "all is in the table", xids[-1]) from error
        if ended or isinstance(error, OutcomeUnknownError):
            raise _divided(run, ranges, ended, error) from error
        if isinstance(error, Exception):
            raise TransferError(f"nothing was loaded into {run.name}: {error}") from error
        raise


def _divided(
    run: Run, ranges: list[list[Range]], ended: int, error: BaseException
) -> PartialTransferError:
    """Return the error that says what the first ``ended`` connections have committed."""
    stopped = isinstance(error, (Interrupted, TooLateError, asyncio.CancelledError))
    doubtful = "are not" if stopped or isinstance(error, psycopg.Error) else "are or are not"
    why = "it was interrupted" if stopped else error
    return PartialTransferError(
        f"{run.name} holds the records {_listed(ranges[:ended])}; those from"
        f" {_listed(ranges[ended : ended + 1])} {doubtful}, the others are not: {why}",
        hint="delete what is there, or load the other records",
    )


def _listed(ranges: list[list[Range]]) -> str:
    """Return ranges as ``1-5, 8-9 of a.csv, 1-7 of b.csv``."""
    files: dict[str, list[Range]] = {}
    for one in chain.from_iterable(ranges):
        files.setdefault(one.file, []).append(one)
    parts = []
    for file, own in files.items():
        own.sort(key=lambda one: one.first)
        parts.append(", ".join(f"{one.first}-{one.last}" for one in own) + f" of {file}")
    return ", ".join(parts) or "(none)"


def _undo(connections: list[AnyConnection]) -> Steps[None]:
    yield Together([_rollback(connection) for connection in connections])


def _rollback(connection: AnyConnection) -> Steps[None]:
    if not connection.closed:
        yield from query(connection, "ROLLBACK")
