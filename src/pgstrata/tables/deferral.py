"""Constraints that may be checked as late as the commit, while bad rows are told from good ones.

They are set by their names, not by ``ALL``: what else the caller's transaction has put off is none
of an import's business. The server knows them by schema and name only, so one of the same name, on
another table of the schema, is set with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import psycopg
from psycopg import sql

from pgstrata.tables.session import refused
from pgstrata.tables.steps import AnyConnection, Steps, query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgstrata.tables.catalog import Table

# Constraint triggers are among them. What a partition has from above follows what is above.
_PUT_OFF = """
SELECT n.nspname, k.conname, pg_catalog.bool_or(k.condeferred) FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_namespace n ON n.oid = k.connamespace
WHERE k.condeferrable AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND (k.conrelid = %s
  OR k.conparentid = 0 AND k.conrelid IN (SELECT t.relid FROM pg_catalog.pg_partition_tree(%s) t))
GROUP BY 1, 2
"""


class Deferrable(NamedTuple):
    """A constraint that can be put off; ``initially`` it may be."""

    schema: str
    name: str
    initially: bool


def check_at_once(connection: AnyConnection, table: Table) -> Steps[list[Deferrable]]:
    """Let constraints of a table be checked by every statement; return those that can be put off.

    Raises ``TransferError`` if what was put off before does not hold: no row could be told good.
    """
    if not (table.deferrable or table.has_children):
        return []
    rows = yield from query(connection, _PUT_OFF, table.oid, table.oid)
    found = [Deferrable(*row) for row in rows]
    try:
        yield from _set(connection, found, "IMMEDIATE")
    except psycopg.Error as error:
        what = f"{table}: nothing was loaded, as the rows that the transaction has do not hold"
        raise refused(error, what) from error
    return found


def put_off_again(connection: AnyConnection, constraints: Sequence[Deferrable]) -> Steps[None]:
    """Let those be put off again that initially are: the caller's transaction may go on."""
    yield from _set(connection, [one for one in constraints if one.initially], "DEFERRED")


def _set(connection: AnyConnection, constraints: Sequence[Deferrable], when: str) -> Steps[None]:
    if constraints:
        names = sql.SQL(", ").join(sql.Identifier(one.schema, one.name) for one in constraints)
        yield from query(connection, sql.SQL(f"SET CONSTRAINTS {{}} {when}").format(names))
