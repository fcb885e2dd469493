"""How rows meet those that are in the table: appended, in their place, or merged by a key.

Appending goes straight into the table. Everything else, and fields that go nowhere, goes through a
temporary staging table with the table's own types and checks, so that a bad value is still reported
with its line; one statement then moves the rows.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import psycopg
from psycopg import sql

from pgstrata.errors import UsageError
from pgstrata.tables.catalog import Table, names
from pgstrata.tables.errors import InputError, TransferError
from pgstrata.tables.header import IGNORED
from pgstrata.tables.session import refused
from pgstrata.tables.statement import Target
from pgstrata.tables.steps import AnyConnection, Steps, query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgstrata.tables.results import Mode, OnConflict

# Other tables with foreign keys by which a DELETE takes rows away or alters them. The parts of a
# partitioned table have copies of its keys.
_CHANGED = """
SELECT DISTINCT k.conrelid::pg_catalog.regclass::text FROM pg_catalog.pg_constraint k
WHERE k.confrelid = %s AND k.contype = 'f' AND k.confdeltype IN ('c', 'n', 'd')
  AND k.conrelid <> k.confrelid AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint p
    WHERE p.oid = k.conparentid AND p.confrelid = k.confrelid) ORDER BY 1
"""


class Merge(NamedTuple):
    """How rows meet existing ones. ``key`` is checked: columns of a unique index of the table."""

    mode: Mode = "append"
    on_conflict: OnConflict = "error"
    key: tuple[str, ...] = ()

    def staged(self, columns: Sequence[str]) -> bool:
        """Return whether the rows have to go through a staging table."""
        return self.mode == "replace" or self.on_conflict != "error" or IGNORED in columns


class Merged(NamedTuple):
    """What became of the rows of a staging table; see ``ImportResult``."""

    loaded: int
    skipped: int = 0
    updated: int = 0


def merge_for(table: Table, mode: Mode, on_conflict: OnConflict, key: Sequence[str]) -> Merge:
    """Return the merge that was asked for. Raises ``UsageError`` if there is no key to go by."""
    wanted = tuple(table.column(name).name for name in key) or table.key
    if on_conflict != "error" and not wanted:
        raise UsageError(
            f"{table} has no primary key to tell which rows exist",
            hint="name the key columns (--key)",
        )
    return Merge(mode, on_conflict, wanted)


def open_target(
    connection: AnyConnection,
    table: Table,
    columns: tuple[str, ...],
    merge: Merge,
    *,
    numbered: bool = False,
) -> Steps[Target]:
    """Return what COPY is to write into, making a staging table if one is needed.

    Its rows may be ``numbered`` as they come in.
    """
    if merge.on_conflict != "error" and (missing := set(merge.key) - set(columns)):
        raise InputError(f"nothing is to go into the key: {', '.join(sorted(missing))}")
    if merge.mode == "truncate":
        yield from empty(connection, table)
    if not merge.staged(columns):
        return Target(table.identifier, table.name, columns)
    name = f"pgstrata_staging_{os.urandom(4).hex()}"
    staging = sql.Identifier("pg_temp", name)
    filled = tuple(f"{name}_{i}" if c == IGNORED else c for i, c in enumerate(columns))
    yield from query(
        connection,
        sql.SQL("CREATE TEMPORARY TABLE {} (LIKE {} INCLUDING CONSTRAINTS)").format(
            sql.Identifier(name), table.identifier
        ),
    )
    changes = [
        sql.SQL("DROP COLUMN {} CASCADE").format(sql.Identifier(c.name))
        for c in table.columns
        if c.name not in columns
    ] + [
        sql.SQL("ADD COLUMN {} text").format(sql.Identifier(c)) for c in filled if c not in columns
    ]
    number = f"{name}_number" if numbered else ""
    if numbered:
        text = "ADD COLUMN {} bigint GENERATED ALWAYS AS IDENTITY"
        changes.append(sql.SQL(text).format(sql.Identifier(number)))
    if changes:
        yield from query(
            connection, sql.SQL("ALTER TABLE {} {}").format(staging, sql.SQL(", ").join(changes))
        )
    target = Target(staging, name, filled, number, table.name)
    if merge.on_conflict != "error":
        yield from _try_key(connection, table, target, merge)
    return target


def close_target(
    connection: AnyConnection, table: Table, target: Target, merge: Merge, loaded: int
) -> Steps[Merged]:
    """Move the ``loaded`` rows of a staging table into the table, and drop it."""
    if target.relation == table.identifier:
        return Merged(loaded)
    if merge.mode == "replace":
        yield from empty(connection, table)
    try:
        rows = yield from query(connection, move(table, target, merge))
    except psycopg.Error as error:
        raise unmoved(error, table, merge) from error
    merged = Merged(rows[0][0], updated=rows[0][1])
    yield from refuse_unseen(connection, table, target, merge, loaded, merged)
    yield from drop_target(connection, target)
    return all_moved(table, merge, loaded, merged)


def drop_target(connection: AnyConnection, target: Target) -> Steps[None]:
    """Drop a staging table."""
    yield from query(connection, sql.SQL("DROP TABLE {}").format(target.relation))


def all_moved(table: Table, merge: Merge, staged: int, merged: Merged) -> Merged:
    """Return what became of ``staged`` rows. Raises ``TransferError`` if some are lost."""
    if merge.on_conflict == "error" and merged.loaded != staged:
        raise TransferError(
            f"{staged} rows were to go into {table}, but {merged.loaded} did; nothing was kept",
            hint="a trigger or rule of the table may drop rows",
        )
    return merged._replace(skipped=staged - merged.loaded)


def refuse_unseen(
    connection: AnyConnection,
    table: Table,
    target: Target,
    merge: Merge,
    staged: int,
    merged: Merged,
) -> Steps[None]:
    """Refuse doubled keys where some rows changed nothing: of these the server does not see it."""
    if merge.on_conflict == "update" and merged.loaded < staged:
        yield from refuse_doubled(connection, table, target, merge)


def refuse_doubled(
    connection: AnyConnection, table: Table, target: Target, merge: Merge
) -> Steps[None]:
    """Raise ``TransferError`` if staged rows have one key: none of them is known to be meant."""
    text = sql.SQL("SELECT 1 FROM {} WHERE {} GROUP BY {} HAVING count(*) > 1 LIMIT 1").format(
        target.relation,
        sql.SQL(" AND ").join(
            sql.SQL("{} IS NOT NULL").format(sql.Identifier(c)) for c in merge.key
        ),
        names(merge.key),
    )
    if (yield from query(connection, text)):
        raise unmoved(psycopg.errors.CardinalityViolation(), table, merge)


def unmoved(error: psycopg.Error, table: Table, merge: Merge) -> TransferError:
    """Return the error for staged rows that do not go into the table."""
    if isinstance(error, psycopg.errors.CardinalityViolation):
        return TransferError(
            f"there are rows with the same {', '.join(merge.key)}; nothing was loaded",
            hint="--on-conflict skip keeps the first of them",
        )
    return refused(error, f"the rows do not fit into {table}; nothing was loaded")


def _try_key(connection: AnyConnection, table: Table, target: Target, merge: Merge) -> Steps[None]:
    """Plan the last statement before the first row is sent: only that tells whether a key is one.

    Raises ``UsageError`` if rows cannot be told apart by the key.
    """
    try:
        yield from query(connection, sql.SQL("EXPLAIN {}").format(move(table, target, merge)))
    except psycopg.errors.GeneratedAlways as error:
        raise UsageError(
            f"{table} makes the values of an identity itself, so no row can be given another one",
            hint="leave that column out (--columns), or make it the key",
        ) from error
    except psycopg.errors.InvalidColumnReference as error:
        raise UsageError(
            f"{table} has no unique index on {', '.join(merge.key)}",
            hint="name the columns of its primary key or of another unique index",
        ) from error


def _own(table: Table, target: Target) -> list[str]:
    """Return the columns of a staging table that the table has too."""
    return [c for c in target.columns if any(c == own.name for own in table.columns)]


def empty(connection: AnyConnection, table: Table) -> Steps[None]:
    """Delete all rows: by TRUNCATE, or by DELETE where other tables refer to it.

    Raises ``InputError`` where that would delete or change rows of these others.
    """
    if changed := (yield from query(connection, _CHANGED, table.oid)):
        raise InputError(
            f"emptying {table} would delete or change the rows of"
            f" {', '.join(name for (name,) in changed)} that refer to it",
            hint="--upsert leaves the rows that stay; or empty the tables yourself before",
        )
    verb = "DELETE FROM" if table.referenced else "TRUNCATE"
    try:
        yield from query(connection, sql.SQL(f"{verb} {{}}").format(table.identifier))
    except psycopg.Error as error:
        raise refused(error, f"cannot empty {table}; nothing was loaded") from error


def move(
    table: Table, target: Target, merge: Merge, part: tuple[int, int] | None = None
) -> sql.Composed:
    """Return the statement that moves staged rows, or those of a ``part`` by their numbers.

    It returns how many went in, and how many of them were updated.
    """
    columns = _own(table, target)
    # An updated row carries the id of the transaction that locked it; a partitioned table will not
    # tell, so there an update counts as loaded only.
    new = "xmax = 0" if table.kind == "r" and merge.on_conflict == "update" else "true"
    return sql.SQL(
        "WITH moved AS (INSERT INTO {table} AS t ({columns}) OVERRIDING SYSTEM VALUE"
        " SELECT {columns} FROM {staging} {part} {conflict} RETURNING {new} AS new)"
        " SELECT count(*), count(*) FILTER (WHERE NOT new) FROM moved"
    ).format(
        table=table.identifier,
        columns=names(columns),
        staging=target.relation,
        part=_numbered(target, part),
        conflict=_conflict(merge, columns),
        new=sql.SQL(new),
    )


def _numbered(target: Target, part: tuple[int, int] | None) -> sql.Composable:
    # WHERE is there in any case: without it ON CONFLICT would be taken for the ON of a join.
    if part is None:
        return sql.SQL("WHERE true")
    number = sql.Identifier(target.number)
    return sql.SQL("WHERE {} BETWEEN {} AND {}").format(number, *map(sql.Literal, part))


def _conflict(merge: Merge, columns: Sequence[str]) -> sql.Composable:
    if merge.on_conflict == "error":
        return sql.SQL("")
    changed = [c for c in columns if c not in merge.key]
    if merge.on_conflict == "skip" or not changed:
        return sql.SQL("ON CONFLICT ({}) DO NOTHING").format(names(merge.key))
    # Rows that would not change are left alone: no dead rows, no triggers, and almost twice as
    # fast. Their images are compared, since json has no "=", and that of others takes 24 hours for
    # a day and 1.5 for 1.50. Without the cast each column would be compared by its "=".
    return sql.SQL(
        "ON CONFLICT ({key}) DO UPDATE SET ({columns}) = ROW({new})"
        " WHERE ROW({old})::record OPERATOR(pg_catalog.*<>) ROW({new})::record"
    ).format(
        key=names(merge.key),
        columns=names(changed),
        new=sql.SQL(", ").join(sql.Identifier("excluded", c) for c in changed),
        old=sql.SQL(", ").join(sql.Identifier("t", c) for c in changed),
    )
