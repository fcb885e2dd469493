"""From a table of one server into a table of another, through this process."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from pgstrata.errors import UsageError
from pgstrata.tables import sequences, wire
from pgstrata.tables.catalog import Column, Table, names
from pgstrata.tables.copyplan import Copy, chosen, planned
from pgstrata.tables.errors import Interrupted, TransferError, VerificationError, part_kept
from pgstrata.tables.job import Tally
from pgstrata.tables.masks import SALT, masked
from pgstrata.tables.modes import close_target, merge_for, open_target
from pgstrata.tables.results import CopyResult
from pgstrata.tables.session import (
    MONEY,
    READING,
    WRITING,
    apply,
    in_transaction,
    refused,
    snapshot,
    transaction,
)
from pgstrata.tables.steps import AnyConnection, Steps, Wire
from pgstrata.tables.strict import give_up
from pgstrata.tables.verify import checksum, checksum_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pgstrata.tables.options import CopyOptions
    from pgstrata.tables.results import CopyPlan, OnProgress
    from pgstrata.tables.statement import Target

BLOCK = 64 * 1024  # bytes; larger ones fall out of the processor's cache, and are slower
# The settings of both ends. The salt is among them to be taken back with the others.
GIVING, TAKING = READING | MONEY | {SALT: ""}, WRITING | MONEY


def copy_steps(copy: Copy) -> Steps[CopyResult]:
    """Copy; see ``copy_table``."""
    if copy.source is copy.target:
        raise UsageError("source and target are the same connection")
    if copy.options.batch:
        from pgstrata.tables.copybatches import in_batches

        return (yield from snapshot(copy.source, in_batches(copy), GIVING))
    keep = not copy.options.dry_run
    committed = keep and not in_transaction(copy.target)
    written = transaction(copy.target, _filled(copy, committed=committed), TAKING, keep=keep)
    return (yield from snapshot(copy.source, written, GIVING))


def copy_all_steps(
    source: AnyConnection,
    target: AnyConnection,
    tables: Mapping[str, CopyOptions],
    progress: OnProgress | None = None,
    on_plan: Callable[[CopyPlan], None] | None = None,
) -> Steps[tuple[CopyResult, ...]]:
    """Copy several tables between the same ends, all or nothing; see ``copy_tables``."""
    copies = [
        Copy(source, target, table, options, Tally(progress), on_plan)
        for table, options in tables.items()
    ]
    if len({copy.options.dry_run for copy in copies}) > 1:
        raise UsageError("a dry run is one of all tables, as they are one transaction")
    if len(copies) == 1:
        return ((yield from copy_steps(copies[0])),)
    if any(copy.options.batch for copy in copies):
        return tuple((yield from snapshot(source, _in_turn(copies), GIVING)))
    keep = not copies[0].options.dry_run
    committed = keep and not in_transaction(target)
    written = transaction(target, _each(copies), TAKING, keep=keep)
    results = yield from snapshot(source, written, GIVING)
    return tuple(replace(result, committed=committed) for result in results)


def _each(copies: Sequence[Copy]) -> Steps[list[CopyResult]]:
    results = []
    for copy in copies:
        result = yield from copy_steps(copy)
        results.append(result)
    return results


def _in_turn(copies: Sequence[Copy]) -> Steps[list[CopyResult]]:
    """Copy tables of which each is committed by itself."""
    from pgstrata.tables.copybatches import refuse_unordered

    for copy in copies:
        yield from refuse_unordered(copy)
    results: list[CopyResult] = []
    for copy in copies:
        done = ", ".join(result.plan.target_table for result in results)
        try:
            result = yield from copy_steps(copy)
        except KeyboardInterrupt as error:
            raise Interrupted(f"complete: {done or 'no table'}; {error}") from error
        except Exception as error:
            if not results:
                raise
            raise part_kept(f"complete: {done}", error, "the next table failed") from error
        results.append(result)
    return results


def _filled(copy: Copy, *, committed: bool) -> Steps[CopyResult]:
    source, target, options = copy.source, copy.target, copy.options
    plan, origin, goal = yield from planned(copy)
    rows_of = selected(origin, chosen(origin, options), options)
    if copy.on_plan:
        copy.on_plan(plan)
    yield from salt(source, options)
    merge = merge_for(goal, options.mode, options.on_conflict, options.key)
    into = yield from open_target(target, goal, plan.columns, merge)
    whole = not (options.where or options.masks)
    read = origin.as_copied([c.name for c in chosen(origin, options)]) if whole else None
    rows = yield from piped(copy, read or rows_of, into, plan.format)
    merged = yield from close_target(target, goal, into, merge, rows)
    if plan.ddl or (options.sync_sequences and not options.dry_run):
        yield from sequences.follow(target, goal, plan.columns)
    proof = (yield from _verified(copy, rows_of, goal, plan.columns)) if options.verify else ""
    copy.tally.tell()
    return CopyResult(
        plan=plan,
        rows_read=rows,
        rows_loaded=merged.loaded,
        rows_skipped=merged.skipped,
        rows_updated=merged.updated,
        bytes=copy.tally.bytes,
        seconds=copy.tally.seconds,
        committed=committed,
        checksum=proof,
    )


def salt(source: AnyConnection, options: CopyOptions) -> Steps[None]:
    """Hand the source the salt of its masks."""
    if options.masks:
        text = options.salt.reveal() if options.salt else secrets.token_hex(16)
        yield from apply(source, {SALT: text})


def selected(
    table: Table,
    columns: Sequence[Column],
    options: CopyOptions,
    within: Sequence[sql.Composable] = (),
) -> sql.Composed:
    """Return the query for the rows, or for those ``within`` some conditions, in parentheses."""
    fields = [
        masked(column, options.masks[column.name])
        if column.name in options.masks
        else sql.Identifier(column.name)
        for column in columns
    ]
    return sql.SQL("(SELECT {} FROM {}{})").format(
        sql.SQL(", ").join(fields), table.identifier, conditions(options, within)
    )


def conditions(options: CopyOptions, within: Sequence[sql.Composable] = ()) -> sql.Composable:
    """Return the WHERE of the rows to copy, which is empty for all of them."""
    own = [sql.SQL(f"({options.where}\n)")] if options.where else []
    if not (every := [*own, *within]):
        return sql.SQL("")
    return sql.SQL(" WHERE {}").format(sql.SQL(" AND ").join(every))


def piped(copy: Copy, rows: sql.Composed, into: Target, form: str) -> Steps[int]:
    """Move all rows; return how many, which both servers have to agree on."""
    target = copy.target
    yield from _begun(copy, rows, into, form)
    before, sent, spoke = copy.tally.rows, -1, False
    try:
        while sent < 0 and not spoke:
            data, count, sent = yield from _read(copy)
            spoke = yield Wire(target, wire.write(target.pgconn, data))
            copy.tally.add(count, copy.tally.bytes + len(data))
        reason = b"stopped by pgstrata" if spoke else None
        taken: int = yield Wire(target, wire.finish(target.pgconn, reason))
    except BaseException as error:
        yield from give_up(target)
        if isinstance(error, psycopg.Error):
            raise refused(error, f"nothing was copied into {into.name}") from error
        raise
    if sent != taken:
        raise TransferError(
            f"the source sent {sent} rows, but the target took {taken}; nothing was kept",
            hint="a trigger of the table may drop rows",
        )
    copy.tally.rows = before + taken  # a binary COPY has a trailer, which came as a row
    return taken


def _read(copy: Copy) -> Steps[tuple[bytes, int, int]]:
    try:
        given: tuple[bytes, int, int] = yield Wire(
            copy.source, wire.read(copy.source.pgconn, BLOCK)
        )
    except psycopg.Error as error:
        raise refused(error, f"cannot read on from {copy.table}; nothing was copied") from error
    return given


def _begun(copy: Copy, rows: sql.Composed, into: Target, form: str) -> Steps[None]:
    give = sql.SQL("COPY {} TO STDOUT (FORMAT {})").format(rows, sql.SQL(form))
    take = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT {})").format(
        into.relation,
        names(into.columns),
        sql.SQL(form),
    )
    try:
        yield Wire(copy.target, wire.start(copy.target.pgconn, take.as_bytes(None)))
    except psycopg.Error as error:
        raise refused(error, f"cannot copy into {into.name}") from error
    try:
        yield Wire(copy.source, wire.start(copy.source.pgconn, give.as_bytes(None)))
    except BaseException as error:
        yield from give_up(copy.target)
        if isinstance(error, psycopg.Error):
            raise refused(error, f"cannot read {copy.table}") from error
        raise


def _verified(
    copy: Copy, selected: sql.Composed, goal: Table, columns: Sequence[str]
) -> Steps[str]:
    here = yield from checksum_of(copy.source, selected)
    there = yield from checksum(copy.target, goal, columns)
    if here != there:
        raise VerificationError(
            f"the source's checksum is {here}, the target's {there}; nothing was kept",
            hint="types that write values differently (say numeric scales) make them differ",
        )
    return here
