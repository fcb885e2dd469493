"""Rows that refer to other rows of their own table, which may come later in the file.

The server checks such a key at the end of each COPY. Where a file is loaded in parts a row may so
be refused only because the one it refers to is in a later part: it has to wait for the others, and
is a bad row if even all of them together lack it.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from psycopg import sql

from pgstrata.tables import wire
from pgstrata.tables.locate import Record, report, value_of
from pgstrata.tables.modes import Merge, drop_target, open_target
from pgstrata.tables.statement import Target, copy_in
from pgstrata.tables.steps import AnyConnection, Steps, Wire, query

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pgstrata.tables.catalog import Table
    from pgstrata.tables.job import Job
    from pgstrata.tables.results import Reject

_KEYS = """
SELECT k.conname,
  ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY AS n(num, place)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = n.num
        ORDER BY n.place),
  ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(k.confkey) WITH ORDINALITY AS n(num, place)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = n.num
        ORDER BY n.place)
FROM pg_catalog.pg_constraint k
WHERE k.contype = 'f' AND k.conrelid = %s AND k.confrelid = k.conrelid
"""
_STAGED = Merge(mode="replace")  # only for its staging table


class OwnKey(NamedTuple):
    """A foreign key of a table to itself: ``columns`` refer to ``referred``, in the same order."""

    name: str
    columns: Sequence[str]
    referred: Sequence[str]


def own_keys(connection: AnyConnection, table: Table) -> Steps[tuple[OwnKey, ...]]:
    """Return the foreign keys of a table to itself."""
    rows = yield from query(connection, _KEYS, table.oid)
    return tuple(OwnKey(*row) for row in rows)


def orphans(
    job: Job, table: Table, keys: Iterable[OwnKey], data: Iterable[bytes], most: int
) -> Steps[list[tuple[int, OwnKey]]]:
    """Return which records refer to rows that are neither in the table nor among them.

    They are counted from 0, in ascending order; if they are more than ``most``, some of them. All
    of ``data`` must be what the table takes but for these keys.
    """
    columns = job.target.columns
    staging = yield from open_target(job.connection, table, columns, _STAGED, numbered=True)
    file = job.file
    copy = copy_in(staging, file.dialect, file.encoding.server, force_null=job.force_null)
    pgconn = job.connection.pgconn
    yield Wire(job.connection, wire.start(pgconn, copy.as_bytes(None)))
    for block in chain([job.header], data):
        yield Wire(job.connection, wire.write(pgconn, block))
    yield Wire(job.connection, wire.finish(pgconn))
    found = yield from take_orphans(job.connection, table, staging, keys, most)
    yield from drop_target(job.connection, staging)
    return sorted((number - 1, key) for number, key in found.items())


def take_orphans(
    connection: AnyConnection, table: Table, staging: Target, keys: Iterable[OwnKey], most: int
) -> Steps[dict[int, OwnKey]]:
    """Delete the staged rows that refer to rows which are neither in the table nor staged; return
    their numbers, and the key of each. If they are more than ``most``, that is given up.
    """
    found: dict[int, OwnKey] = {}
    known = [key for key in keys if {*key.columns} <= {*staging.columns}]
    more = True
    while more:  # those who refer to an orphan become one
        more = False
        for key in known:
            rows = yield from query(connection, _delete(table, staging, key, most + 1))
            found.update((number, key) for (number,) in rows)
            more = more or bool(rows)
            if len(found) > most:
                return found
    return found


def orphan(job: Job, record: Record, key: OwnKey) -> Reject:
    """Return what is to be reported of a record that refers to a row that is not there."""
    column = key.columns[0]
    message = f'the row that "{key.name}" refers to is neither in the table nor in the file'
    value = value_of(job.file, record, job.target.columns, column)
    return report(job.file, record, "23503", message, column, value)


def _delete(table: Table, staging: Target, key: OwnKey, shown: int) -> sql.Composed:
    """Return what deletes orphans; it returns the first numbers of them."""
    given = sql.SQL(" AND ").join(
        sql.SQL("{} IS NOT NULL").format(sql.Identifier("s", column)) for column in key.columns
    )
    equal = sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(sql.Identifier("o", theirs), sql.Identifier("s", ours))
        for ours, theirs in zip(key.columns, key.referred, strict=True)
    )
    places = [
        table.identifier,
        *([staging.relation] if {*key.referred} <= {*staging.columns} else []),
    ]
    missing = sql.SQL(" AND ").join(
        sql.SQL("NOT EXISTS (SELECT FROM {} AS o WHERE {})").format(place, equal)
        for place in places
    )
    text = (
        "WITH gone AS (DELETE FROM {} AS s WHERE {} AND {} RETURNING {} AS n)"
        " SELECT n FROM gone ORDER BY n LIMIT {}"
    )
    number = sql.Identifier("s", staging.number)
    return sql.SQL(text).format(staging.relation, given, missing, number, sql.Literal(shown))
