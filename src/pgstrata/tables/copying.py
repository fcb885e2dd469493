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
from pgstrata.tables.errors import TransferError, VerificationError
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
    transaction,
)
from pgstrata.tables.steps import AnyConnection, Steps, Wire
from pgstrata.tables.strict import give_up, stop_reading
from pgstrata.tables.verify import checksum, checksum_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pgstrata.tables.options import CopyOptions
    from pgstrata.tables.results import CopyPlan, OnProgress
    from pgstrata.tables.statement import Target

BLOCK = 64 * 1024  # bytes; larger ones fall out of the processor's cache, and are slower
_GIVING, _TAKING = READING | MONEY, WRITING | MONEY


def copy_steps(copy: Copy) -> Steps[CopyResult]:
    """Copy; see ``copy_table``."""
    if copy.source is copy.target:
        raise UsageError("source and target are the same connection")
    keep = not copy.options.dry_run
    committed = keep and not in_transaction(copy.target)
    written = transaction(copy.target, _filled(copy, committed=committed), _TAKING, keep=keep)
    return (yield from transaction(copy.source, written, _GIVING, read_only=True))


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
    if len(copies) == 1:
        return ((yield from copy_steps(copies[0])),)
    keep = not copies[0].options.dry_run
    committed = keep and not in_transaction(target)
    written = transaction(target, _each(copies), _TAKING, keep=keep)
    results = yield from transaction(source, written, _GIVING, read_only=True)
    return tuple(replace(result, committed=committed) for result in results)


def _each(copies: Sequence[Copy]) -> Steps[list[CopyResult]]:
    results = []
    for copy in copies:
        result = yield from copy_steps(copy)
        results.append(result)
    return results


def _filled(copy: Copy, *, committed: bool) -> Steps[CopyResult]:
    source, target, options = copy.source, copy.target, copy.options
    plan, origin, goal = yield from planned(copy)
    selected = _selected(origin, chosen(origin, options), options)
    if copy.on_plan:
        copy.on_plan(plan)
    yield from _salt(source, options)
    merge = merge_for(goal, options.mode, options.on_conflict, options.key)
    into = yield from open_target(target, goal, plan.columns, merge)
    read = _plain(origin, chosen(origin, options), options) or selected
    rows = yield from _piped(copy, read, into, plan.format)
    merged = yield from close_target(target, goal, into, merge, rows)
    if plan.ddl or (options.sync_sequences and not options.dry_run):
        yield from sequences.follow(target, goal, plan.columns)
    proof = (yield from _verified(copy, selected, goal, plan.columns)) if options.verify else ""
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


def _salt(source: AnyConnection, options: CopyOptions) -> Steps[None]:
    if options.masks:
        salt = options.salt.reveal() if options.salt else secrets.token_hex(16)
        yield from apply(source, {SALT: salt})


def _selected(table: Table, columns: Sequence[Column], options: CopyOptions) -> sql.Composed:
    """Return the query in parentheses."""
    fields = [
        masked(column, options.masks[column.name])
        if column.name in options.masks
        else sql.Identifier(column.name)
        for column in columns
    ]
    where = f" WHERE {options.where}\n" if options.where else ""
    return sql.SQL("(SELECT {} FROM {}{})").format(
        sql.SQL(", ").join(fields),
        table.identifier,
        sql.SQL(where),
    )


def _plain(table: Table, columns: Sequence[Column], options: CopyOptions) -> sql.Composed | None:
    """Return the table as COPY reads it without a query, which is faster, if the rows are the same.

    COPY leaves out what inherits from a table, and refuses row security and generated columns.
    """
    special = table.kind != "r" or table.has_children or table.row_security or not columns
    if special or options.where or options.masks or any(column.generated for column in columns):
        return None
    return sql.SQL("{} ({})").format(table.identifier, names([column.name for column in columns]))


def _piped(copy: Copy, selected: sql.Composed, into: Target, form: str) -> Steps[int]:
    """Move all rows; return how many, which both servers have to agree on."""
    source, target = copy.source, copy.target
    yield from _begun(copy, selected, into, form)
    sent, spoke = -1, False
    try:
        while sent < 0 and not spoke:
            data, count, sent = yield Wire(source, wire.read(source.pgconn, BLOCK))
            spoke = yield Wire(target, wire.write(target.pgconn, data))
            copy.tally.add(count, copy.tally.bytes + len(data))
        reason = b"stopped by pgstrata" if spoke else None
        taken: int = yield Wire(target, wire.finish(target.pgconn, reason))
    except BaseException as error:
        yield from stop_reading(source)
        yield from give_up(target)
        if isinstance(error, psycopg.Error):
            raise refused(error, f"nothing was copied into {into.name}") from error
        raise
    if sent != taken:
        raise TransferError(
            f"the source sent {sent} rows, but the target took {taken}; nothing was kept",
            hint="a trigger of the table may drop rows",
        )
    copy.tally.rows = taken
    return taken


def _begun(copy: Copy, selected: sql.Composed, into: Target, form: str) -> Steps[None]:
    give = sql.SQL("COPY {} TO STDOUT (FORMAT {})").format(selected, sql.SQL(form))
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
