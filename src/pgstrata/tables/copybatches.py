"""A copy that commits as it goes, in the order of the source's primary key.

A batch is what lies between two keys, so one that was not committed is copied again, whatever other
rows have come or gone since; and the transaction of a batch also notes its last key in the target.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import psycopg
from psycopg import sql

from pgstrata.errors import UsageError
from pgstrata.tables import sequences
from pgstrata.tables.catalog import Table, get_table, names
from pgstrata.tables.copying import TAKING, conditions, piped, salt, selected
from pgstrata.tables.copyledger import CopyLedger, State
from pgstrata.tables.copyplan import Copy, chosen, planned
from pgstrata.tables.errors import Interrupted, TransferError, part_kept
from pgstrata.tables.modes import Merge, Merged, close_target, empty, merge_for, open_target
from pgstrata.tables.results import CopyPlan, CopyResult
from pgstrata.tables.session import in_transaction, refused, transaction, was_committed
from pgstrata.tables.steps import Steps, query

if TYPE_CHECKING:
    from collections.abc import Sequence


# Types whose comparison is found by the search path: those that an extension has made, and what is
# made of them. ORDER BY goes by the type's own order, and a bare ">" may be that of another type.
_FOREIGN = """
WITH RECURSIVE made AS (
  SELECT a.attname, a.atttypid AS type FROM pg_catalog.pg_attribute a
  WHERE a.attrelid = %s AND a.attname = ANY(%s)
  UNION ALL SELECT m.attname, t.typbasetype FROM made m JOIN pg_catalog.pg_type t ON t.oid = m.type
  WHERE t.typtype = 'd')
SELECT m.attname FROM made m JOIN pg_catalog.pg_type t ON t.oid = m.type
WHERE t.typtype = 'b' AND t.typnamespace <> 'pg_catalog'::pg_catalog.regnamespace
"""


class _Batch(NamedTuple):
    """The key of its last row, None where no row is left, how many rows it has, and whether it is
    the last batch.
    """

    last: tuple[str, ...] | None
    rows: int
    ends: bool


@dataclass(slots=True)
class _Run:
    """A copy in batches while it runs.

    ``state`` is what is committed, and ``next`` what the transaction that is open would make of it;
    the rest counts what this run has committed.
    """

    copy: Copy
    plan: CopyPlan
    origin: Table
    goal: Table
    merge: Merge
    ledger: CopyLedger
    state: State
    next: State
    resumed: int = 0
    read: int = 0
    merged: Merged = field(default_factory=lambda: Merged(0))


def in_batches(copy: Copy) -> Steps[CopyResult]:
    """Copy with a commit after every ``options.batch`` rows; the source is as of one moment.

    Raises ``PartialTransferError`` if some batches are committed and then something fails.
    """
    if in_transaction(copy.target):
        raise UsageError("the target's connection is in a transaction: no batch could be committed")
    run = yield from transaction(copy.target, _begun(copy), TAKING)
    try:
        yield from salt(copy.source, copy.options)
        ended = False
        while not ended:
            batch = yield from _next_batch(run)
            counts = yield from transaction(copy.target, _moved(run, batch), TAKING)
            _count(run, *counts)
            ended = batch.ends
        return _result(run)
    except KeyboardInterrupt as error:
        if was_committed(error):
            run.state = run.next
        raise Interrupted(f"{_kept(run)}; it can be resumed") from error
    except Exception as error:  # also what nobody has foreseen
        if was_committed(error):
            run.state = run.next
        if not (run.state.loaded or run.plan.ddl):
            raise
        raise part_kept(_kept(run), error) from error


def _begun(copy: Copy) -> Steps[_Run]:
    """Find out where to begin, and make what the first batch needs."""
    yield from refuse_unordered(copy)
    plan, origin, goal = yield from planned(copy)
    options = copy.options
    selected(origin, chosen(origin, options), options)  # a mask that is none is refused here
    merge = merge_for(goal, "append", options.on_conflict, options.key)
    ledger = CopyLedger(copy, plan, origin, goal)
    yield from ledger.create()
    state = (yield from _known(copy, ledger)) or State(ledger.what)
    run = _Run(copy, plan, origin, goal, merge, ledger, state, state, resumed=state.loaded)
    yield from ledger.write(state)
    if copy.on_plan:
        copy.on_plan(plan)
    return run


def refuse_unordered(copy: Copy) -> Steps[None]:
    """Raise ``UsageError`` where no key orders all rows, or where the target may not know it."""
    options = copy.options
    origin = yield from get_table(copy.source, copy.table, end="source database")
    if (yield from query(copy.source, "SHOW transaction_isolation")) == [("read committed",)]:
        raise UsageError(
            "the source's transaction sees rows come and go between batches",
            hint="begin it as REPEATABLE READ, or leave that to the copy",
        )
    if not origin.key or (origin.kind == "r" and origin.has_children):
        what = "tables that inherit from it" if origin.key else "no primary key"
        raise UsageError(
            f"{origin} has {what}: there is no order to commit batches by",
            hint="copy it in one transaction, without batches",
        )
    if foreign := (yield from query(copy.source, _FOREIGN, origin.oid, list(origin.key))):
        raise UsageError(
            f"the type of {foreign[0][0]} has an order of its own, which batches cannot rely on",
            hint="copy it in one transaction, without batches",
        )
    seen = {column.name for column in chosen(origin, options)} - set(options.masks)
    if hidden := [name for name in origin.key if name not in seen]:
        raise UsageError(
            "batches note the last key in the target,"
            f" but {', '.join(hidden)} is masked, generated or left out",
            hint="copy the key too and unmasked, or all in one transaction, without batches",
        )


def _known(copy: Copy, ledger: CopyLedger) -> Steps[State | None]:
    """Return what an earlier run has committed, if this one goes on with it.

    Raises ``UsageError`` for a copy that was begun and is not to be resumed, or for another one.
    """
    known = yield from ledger.read()
    if known and known.what != ledger.what and (copy.options.resume or not known.done):
        raise UsageError(
            f"--copy-id {ledger.id} is that of another copy, or its table was made anew",
            hint="another --copy-id begins anew",
        )
    if copy.options.resume:
        others = (yield from ledger.begun()) if known is None else []
        if others:
            raise UsageError(
                f"no copy with these options was begun, but one of {others[0].source} has committed"
                f" {others[0].loaded} rows and not ended",
                hint=f"--copy-id {others[0].id} goes on with it; without --resume this begins anew",
            )
        return known
    if known and known.after is not None and not known.done:
        raise UsageError(
            f"an earlier copy of {ledger.source} has committed {known.loaded} rows and not ended",
            hint="--resume goes on with it, another --copy-id begins anew",
        )
    return None


def _next_batch(run: _Run) -> Steps[_Batch]:
    """Return the next batch: so many rows behind what is committed, or all that are left."""
    size = run.copy.options.batch or 1
    full = yield from _key_at(run, sql.SQL("ASC"), size - 1)
    if full is not None:
        return _Batch(full, size, ends=False)
    last = yield from _key_at(run, sql.SQL("DESC"), 0)
    where = conditions(run.copy.options, _within(run, None))
    text = sql.SQL("SELECT count(*) FROM {}{}").format(run.origin.identifier, where)
    rows = yield from query(run.copy.source, text)
    return _Batch(last, rows[0][0], ends=True)


def _key_at(run: _Run, order: sql.SQL, place: int) -> Steps[tuple[str, ...] | None]:
    """Return the key at a place, from 0, among the rows behind what is committed, if there is."""
    key = [sql.Identifier(name) for name in run.origin.key]
    # Ordered inside, where a name is that of the column: outside, that of the text.
    text = "SELECT {} FROM (SELECT {} FROM {}{} ORDER BY {} OFFSET {} LIMIT 1) AS q"
    composed = sql.SQL(text).format(
        # As the type writes it: a cast to text may be somebody's own.
        sql.SQL(", ").join(sql.SQL("pg_catalog.format('%s', {})").format(part) for part in key),
        names(run.origin.key),
        run.origin.identifier,
        conditions(run.copy.options, _within(run, None)),
        sql.SQL(", ").join(sql.SQL("{} {}").format(part, order) for part in key),
        sql.Literal(place),
    )
    try:
        rows = yield from query(run.copy.source, composed)
    except psycopg.Error as error:
        raise refused(error, f"cannot read {run.copy.table}") from error
    return tuple(rows[0]) if rows else None


def _within(run: _Run, last: tuple[str, ...] | None) -> list[sql.Composable]:
    """Return the conditions for the rows behind what is committed, up to a last key."""
    bounds = ((">", run.state.after), ("<=", last))
    return [_bound(run.origin, sign, key) for sign, key in bounds if key is not None]


def _bound(table: Table, sign: str, key: Sequence[str]) -> sql.Composable:
    values = [
        sql.SQL("{}::{}").format(sql.Literal(text), sql.SQL(table.column(name).type))
        for name, text in zip(table.key, key, strict=True)
    ]
    return sql.SQL("({}) {} ({})").format(
        names(table.key), sql.SQL(sign), sql.SQL(", ").join(values)
    )


def _moved(run: _Run, batch: _Batch) -> Steps[tuple[int, Merged]]:
    """Copy one batch, and note in the same transaction how far that is."""
    copy, options = run.copy, run.copy.options
    if (yield from run.ledger.read()) != run.state:
        raise TransferError(
            f"another run has gone on with the copy into {run.goal}",
            hint="let it end, and resume then if that is still necessary",
        )
    if options.mode == "truncate" and run.state.after is None:
        yield from empty(copy.target, run.goal)
    into = yield from open_target(copy.target, run.goal, run.plan.columns, run.merge)
    within = _within(run, batch.last)
    rows_of = selected(run.origin, chosen(run.origin, options), options, within)
    rows = yield from piped(copy, rows_of, into, run.plan.format)
    if rows != batch.rows:
        raise TransferError(
            f"{rows} rows came where {batch.rows} are between two keys of {run.origin}",
            hint="copy it in one transaction, without batches",
        )
    merged = yield from close_target(copy.target, run.goal, into, run.merge, rows)
    made = run.plan.ddl or (options.create and run.resumed)
    if batch.ends and (made or options.sync_sequences):
        yield from sequences.follow(copy.target, run.goal, run.plan.columns)
    loaded = run.state.loaded + merged.loaded
    after = batch.last or run.state.after
    run.next = State(run.ledger.what, after, loaded, done=batch.ends)
    yield from run.ledger.write(run.next)
    return rows, merged


def _count(run: _Run, rows: int, merged: Merged) -> None:
    """Note what has been committed."""
    run.state, before = run.next, run.merged
    run.read += rows
    run.merged = Merged(
        before.loaded + merged.loaded,
        before.skipped + merged.skipped,
        before.updated + merged.updated,
    )
    run.copy.tally.committed = run.state.loaded
    run.copy.tally.tell()


def _result(run: _Run) -> CopyResult:
    return CopyResult(
        plan=run.plan,
        rows_read=run.read,
        rows_loaded=run.merged.loaded,
        rows_skipped=run.merged.skipped,
        rows_updated=run.merged.updated,
        rows_resumed=run.resumed,
        bytes=run.copy.tally.bytes,
        seconds=run.copy.tally.seconds,
    )


def _kept(run: _Run) -> str:
    said = ", and the table was created before" if run.plan.ddl else ""
    return f"{run.state.loaded} rows of {run.plan.target_table} are committed{said}"
