"""Sequences that columns count on, which loaded values leave behind.

COPY takes the values of an identity or serial column from the file, and its sequence stays where it
was: the next INSERT gets a value that is in the table already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from pgstrata.tables.steps import AnyConnection, Steps, query

if TYPE_CHECKING:
    from collections.abc import Collection

    from pgstrata.tables.catalog import Column, Table

# Only forward, for a sequence is outside of transactions: others may have counted on meanwhile.
_FOLLOW = """
SELECT pg_catalog.setval({sequence}::pg_catalog.regclass, m.highest)
FROM (SELECT pg_catalog.max({column}) AS highest FROM {relation}) AS m, {counter} AS s
WHERE m.highest >= s.last_value
"""


def follow(connection: AnyConnection, table: Table, columns: Collection[str]) -> Steps[None]:
    """Let the sequences of these columns go on behind the highest value in the table. A rollback
    does not undo that.
    """
    for column in counted(table, columns):
        text = sql.SQL(_FOLLOW).format(
            sequence=sql.Literal(column.sequence),
            counter=sql.SQL(column.sequence),  # quoted as the server has it
            column=sql.Identifier(column.name),
            relation=table.identifier,
        )
        yield from query(connection, text)


def counted(table: Table, columns: Collection[str]) -> list[Column]:
    """Return which of these columns count on a sequence of their own."""
    return [column for column in table.columns if column.sequence and column.name in columns]


def doubts(table: Table, columns: Collection[str]) -> tuple[str, ...]:
    """Return what is to be said where sequences are not told to follow."""
    names = ", ".join(column.name for column in counted(table, columns))
    said = f"the next INSERT may get a value of {names} that is taken (--sync-sequences)"
    return (said,) if names else ()
