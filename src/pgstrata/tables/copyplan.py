"""What a copy is about to do: its ends, its columns, and the form in which the rows travel.

Binary COPY costs half of the text's time, but it reinterprets bytes where types differ: an int8
becomes a timestamp without a word. So it is used only where every column has the same type of
PostgreSQL's own on both sides, and one whose binary form does not depend on the server; else text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import psycopg
from psycopg import sql

from pgstrata.errors import UsageError
from pgstrata.tables import definition
from pgstrata.tables.catalog import (
    Column,
    Table,
    find_table,
    get_table,
    of_query,
    server_version,
)
from pgstrata.tables.errors import InputError
from pgstrata.tables.header import matched
from pgstrata.tables.results import CopyPlan, Endpoint
from pgstrata.tables.sequences import doubts
from pgstrata.tables.session import refused
from pgstrata.tables.steps import AnyConnection, Steps, query

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pgstrata.tables.job import Tally
    from pgstrata.tables.options import CopyOptions

_OWN = (
    "oid",
    "xid",
    "xid8",
    "cid",
    "tid",
    "pg_lsn",
    "money",
)  # meant for one server, or its locale
# Not the system identifier: a staging server that was cloned from production has the same one. In
# whole microseconds, as the settings of either end may round fractions in their own way.
_SERVER = (
    "SELECT (pg_catalog.date_part('epoch', pg_catalog.pg_postmaster_start_time()) * 1e6)::bigint,"
    " pg_catalog.pg_is_in_recovery(), oid,"
    " pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'execute')"
    " AND pg_catalog.has_function_privilege('pg_catalog.pg_control_checkpoint()', 'execute')"
    " FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()"
)
# A standby has that of its primary, and so has a clone; but a clone that was promoted, as it has to
# be to follow nobody, is on a timeline of its own.
_CLUSTER = (
    "SELECT system_identifier, timeline_id"
    " FROM pg_catalog.pg_control_system(), pg_catalog.pg_control_checkpoint()"
)


class Copy(NamedTuple):
    """One copy while it runs."""

    source: AnyConnection
    target: AnyConnection
    table: str
    options: CopyOptions
    tally: Tally
    on_plan: Callable[[CopyPlan], None] | None = None


def planned(copy: Copy) -> Steps[tuple[CopyPlan, Table, Table]]:
    """Return what is to be done, the source's table, and the target's, created if it may be.

    Raises ``InputError`` if they do not fit or are the same table.
    """
    server_version(copy.source)
    server_version(copy.target)
    if copy.options.query:
        origin = yield from of_query(copy.source, copy.table)
    else:
        origin = yield from get_table(copy.source, copy.table, end="source database")
    columns = chosen(origin, copy.options)
    goal, ddl = yield from _goal(copy, origin, columns)
    yield from _refuse_same(copy, origin, goal)
    placed = matched([column.name for column in columns], goal, what=str(origin))
    lag = () if ddl or copy.options.sync_sequences else doubts(goal, placed)
    plan = CopyPlan(
        source=endpoint(copy.source),
        target=endpoint(copy.target),
        source_table=str(origin),
        target_table=str(goal),
        columns=placed,
        format=_form(columns, [goal.column(name) for name in placed]),
        masks=dict(copy.options.masks),
        ddl=ddl,
        doubts=lag,
    )
    return plan, origin, goal


def chosen(table: Table, options: CopyOptions) -> list[Column]:
    """Return the columns to copy: those asked for, else all that an insert can fill.

    Raises ``UsageError`` for the mask of another one.
    """
    for name in options.masks:
        table.column(name)
    if options.columns is not None:
        columns = [table.column(name) for name in options.columns]
    else:
        columns = [column for column in table.columns if not column.generated]
    if unused := set(options.masks) - {column.name for column in columns}:
        raise UsageError(f"{', '.join(sorted(unused))} is masked, but not copied")
    return columns


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
    return (yield from get_table(copy.target, name, advice=advice, end="target database")), ddl


def _refuse_same(copy: Copy, origin: Table, goal: Table) -> Steps[None]:
    if origin.oid != goal.oid:
        return
    (here,) = yield from query(copy.source, _SERVER)
    (there,) = yield from query(copy.target, _SERVER)
    if here[:3] == there[:3]:  # what is readable is a matter of the two roles
        raise InputError(f"source and target are the same table, {origin}, of the same server")
    (_, standby, database, readable), (_, also, other, other_readable) = here, there
    if standby and not also and database == other and readable and other_readable:
        yield from _refuse_replica(copy, origin)


def _refuse_replica(copy: Copy, origin: Table) -> Steps[None]:
    """Refuse to copy the rows of a standby's table into its primary, where they came from."""
    here = yield from query(copy.source, _CLUSTER)
    there = yield from query(copy.target, _CLUSTER)
    if here == there:
        raise InputError(
            f"the source is a standby of the target, so {origin} holds the target's own rows",
            hint="if the target is a clone that was never promoted, copy with a query",
        )


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
