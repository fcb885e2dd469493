"""The CREATE TABLE statement of a table that exists, for another server.

Columns, types, NOT NULL, defaults, identity, generated columns, keys and checks come along. Foreign
keys, further indexes, triggers, grants and owners do not: they belong to the database it came from.
A default that counts up a sequence becomes an identity, because the sequence stays where it is.
Constraints get new names: the old ones may be taken there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from pgstrata.tables.steps import AnyConnection, Steps, query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgstrata.tables.catalog import Column, Table

_DEFAULTS = """
SELECT a.attname, pg_catalog.pg_get_expr(d.adbin, d.adrelid)
FROM pg_catalog.pg_attrdef d JOIN pg_catalog.pg_attribute a
  ON a.attrelid = d.adrelid AND a.attnum = d.adnum
WHERE d.adrelid = %s
"""
_CONSTRAINTS = """
SELECT pg_catalog.pg_get_constraintdef(k.oid),
  ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = k.conrelid AND a.attnum = ANY(k.conkey))
FROM pg_catalog.pg_constraint k WHERE k.conrelid = %s AND k.contype IN ('p', 'u', 'c')
ORDER BY k.conname
"""
_IDENTITY = {"a": "ALWAYS", "d": "BY DEFAULT"}


def of(connection: AnyConnection, table: Table, columns: Sequence[Column], name: str) -> Steps[str]:
    """Return the statement that creates ``columns`` of a table under a ``name`` as SQL has it."""
    defaults = dict((yield from query(connection, _DEFAULTS, table.oid)))
    found = query(connection, _CONSTRAINTS, table.oid)  # those of a query would be all domains'
    constraints = [] if table.query else (yield from found)
    kept = {column.name for column in columns}
    whole = [c for c in table.columns if c.name in kept or c.generated]
    kept = {column.name for column in whole} if len(whole) == len(table.columns) else kept
    fields = [_field(c, defaults.get(c.name, "")) for c in whole if c.name in kept]
    fields += [text for text, used in constraints if set(used) <= kept]
    return f"CREATE TABLE {name} (\n  " + ",\n  ".join(fields) + "\n)"


def _field(column: Column, default: str) -> str:
    parts = [sql.Identifier(column.name).as_string(None), column.type]
    if column.generated:
        stored = "STORED" if column.generated == "s" else "VIRTUAL"
        parts.append(f"GENERATED ALWAYS AS ({default}) {stored}")
    elif column.identity or default.startswith("nextval("):
        parts.append(f"GENERATED {_IDENTITY.get(column.identity, 'BY DEFAULT')} AS IDENTITY")
    elif default:
        parts.append(f"DEFAULT {default}")
    if column.not_null:
        parts.append("NOT NULL")
    return " ".join(parts)
