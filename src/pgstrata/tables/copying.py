"""From a table of one server into a table of another, through this process.

Binary COPY costs half of the text's time, but it reinterprets bytes where types differ: an int8
becomes a timestamp without a word. So it is used only where every column has the same type of
PostgreSQL's own on both sides, and one whose binary form does not depend on the server; else text.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import psycopg
from psycopg import sql

from pgstrata.errors import UsageError
from pgstrata.tables import definition, wire
from pgstrata.tables.catalog import Column, Table, find_table, get_table, names, server_version
from pgstrata.tables.errors import InputError, TransferError, VerificationError
from pgstrata.tables.header import matched
from pgstrata.tables.job import Tally
from pgstrata.tables.masks import SALT, masked
from pgstrata.tables.modes import close_target, merge_for, open_target
from pgstrata.tables.results import CopyPlan, CopyResult, Endpoint, OnProgress
from pgstrata.tables.session import READING, WRITING, apply, in_transaction, refused, transaction
from pgstrata.tables.steps import AnyConnection, Steps, Wire, query
from pgstrata.tables.strict import give_up, stop_reading
from pgstrata.tables.verify import checksum, checksum_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pgstrata.tables.options import CopyOptions
    from pgstrata.tables.statement import Target

BLOCK = 32 * 1024  # bytes; larger ones fall out of the processor's cache and are slower
_OWN = (
    "oid",
    "xid",
    "xid8",
    "cid",
    "tid",
    "pg_lsn",
    "money",
)  # meant for one server, or its locale
# Not the system identifier: a staging server that was cloned from production has the same one.
_IDENTITY = (
    "SELECT pg_catalog.date_part('epoch', pg_catalog.pg_postmaster_start_time())::text, oid"
    " FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()"
)


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy while it runs."""

    source: AnyConnection
    target: AnyConnection
    table: str
    options: CopyOptions
    tally: Tally
    on_plan: Callable[[CopyPlan], None] | None = None


def copy_steps(copy: Copy) -> Steps[CopyResult]:
    """Copy; see ``copy_table``."""
    if copy.source is copy.target:
        raise UsageError("source and target are the same connection")
    keep = not copy.options.dry_run
    committed = keep and not in_transaction(copy.target)
    written = transaction(copy.target, _filled(copy, committed=committed), WRITING, keep=keep)
    return (yield from transaction(copy.source, written, READING, read_only=True))


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
    written = transaction(target, _each(copies), WRITING, keep=keep)
    results = yield from transaction(source, written, READING, read_only=True)
    return tuple(replace(result, committed=committed) for result in results)


def _each(copies: Sequence[Copy]) -> Steps[list[CopyResult]]:
    results = []
    for copy in copies:
        result = yield from copy_steps(copy)
        results.append(result)
    return results


def endpoint(connection: AnyConnection) -> Endpoint:
    """Return what a person wants to know of a connection before data moves through it."""
    info = connection.info
    return Endpoint(
        host=info.host,
        port=info.port,
        database=info.dbname,
        role=info.user,
        tls=bool(connection.pgconn.ssl_in_use),
        server_version=info.server_version // 10000,
    )


def _filled(copy: Copy, *, committed: bool) -> Steps[CopyResult]:
    source, target, options = copy.source, copy.target, copy.options
    plan, origin, goal = yield from _planned(copy)
    selected = _selected(origin, _columns(origin, options), options)
    if copy.on_plan:
        copy.on_plan(plan)
    yield from _salt(source, options)
    merge = merge_for(goal, options.mode, options.on_conflict, options.key)
    into = yield from open_target(target, goal, plan.columns, merge)
    rows = yield from _piped(copy, selected, into, plan.format)
    merged = yield from close_target(target, goal, into, merge, rows)
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


def _planned(copy: Copy) -> Steps[tuple[CopyPlan, Table, Table]]:
    server_version(copy.source)
    server_version(copy.target)
    origin = yield from get_table(copy.source, copy.table)
    columns = _columns(origin, copy.options)
    goal, ddl = yield from _goal(copy, origin, columns)
    yield from _refuse_same(copy, origin, goal)
    placed = matched([column.name for column in columns], goal)
    plan = CopyPlan(
        source=endpoint(copy.source),
        target=endpoint(copy.target),
        source_table=str(origin),
        target_table=str(goal),
        columns=placed,
        format=_form(columns, [goal.column(name) for name in placed]),
        masks=dict(copy.options.masks),
        ddl=ddl,
    )
    return plan, origin, goal


def _columns(table: Table, options: CopyOptions) -> list[Column]:
    for name in options.masks:
        table.column(name)
    if options.columns is not None:
        return [table.column(name) for name in options.columns]
    return [column for column in table.columns if not column.generated]


def _goal(copy: Copy, origin: Table, columns: Sequence[Column]) -> Steps[tuple[Table, str]]:
    """Return the table to fill, created if it is missing and may be, and the statement for that."""
    name = copy.options.target or origin.identifier.as_string(None)
    table = (yield from find_table(copy.target, name)) if copy.options.create else None
    ddl = ""
    if copy.options.create and table is None:
        ddl = yield from definition.of(copy.source, origin, columns, name)
        try:
            yield from query(copy.target, sql.SQL(ddl))
        except psycopg.Error as error:
            raise refused(error, f"cannot create {name}") from error
    advice = "--create makes it as it is in the source"
    return (yield from get_table(copy.target, name, advice=advice)), ddl


def _refuse_same(copy: Copy, origin: Table, goal: Table) -> Steps[None]:
    here = yield from query(copy.source, _IDENTITY)
    there = yield from query(copy.target, _IDENTITY)
    if here == there and origin.oid == goal.oid:
        raise InputError(f"source and target are the same table, {origin}, of the same server")


def _form(source: Sequence[Column], target: Sequence[Column]) -> Literal["binary", "text"]:
    pairs = zip(source, target, strict=True)
    return "binary" if all(_same_bytes(here, there) for here, there in pairs) else "text"


def _same_bytes(here: Column, there: Column) -> bool:
    """Return whether both types are PostgreSQL's own, the same, and the same on any server."""
    own = here.builtin and there.builtin and here.binary and there.binary
    bound = {here.type_name, here.element} & set(_OWN) or here.type_name.lstrip("_").startswith(
        "reg"
    )
    return own and not bound and (here.type, here.modifier) == (there.type, there.modifier)


def _salt(source: AnyConnection, options: CopyOptions) -> Steps[None]:
    if options.masks:
        salt = options.salt.reveal() if options.salt else secrets.token_hex(16)
        yield from apply(source, {SALT: salt})


def _selected(table: Table, columns: Sequence[Column], options: CopyOptions) -> sql.Composed:
    """Return the query in parentheses; a plain table is read without one, which is faster."""
    fields = [
        masked(column, options.masks[column.name])
        if column.name in options.masks
        else sql.Identifier(column.name)
        for column in columns
    ]
    where = f" WHERE {options.where}" if options.where else ""
    return sql.SQL("(SELECT {} FROM {}{})").format(
        sql.SQL(", ").join(fields),
        table.identifier,
        sql.SQL(where),
    )


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
