"""Proof after loading: counts, and a checksum that does not depend on the order of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from psycopg import sql

from pgstrata.tables.catalog import Table, names
from pgstrata.tables.errors import VerificationError
from pgstrata.tables.session import READING, apply
from pgstrata.tables.steps import AnyConnection, Steps, query

if TYPE_CHECKING:
    from collections.abc import Sequence

Digest: TypeAlias = tuple[int, int]


def count_rows(connection: AnyConnection, table: Table) -> Steps[int]:
    """Return how many rows the table has."""
    text = sql.SQL("SELECT count(*) FROM {}").format(table.identifier)
    rows = yield from query(connection, text)
    count: int = rows[0][0]
    return count


def verify_count(connection: AnyConnection, table: Table, least: int, most: int) -> Steps[None]:
    """Raise ``VerificationError`` if the table has fewer or more rows."""
    count = yield from count_rows(connection, table)
    if not least <= count <= most:
        expected = str(most) if least == most else f"{least} to {most}"
        raise VerificationError(
            f"{table} has {count} rows where {expected} were expected; nothing was kept",
            hint="a trigger changes rows, or another session loaded some meanwhile",
        )


def checksum(
    connection: AnyConnection, table: Table, columns: Sequence[str] | None = None
) -> Steps[str]:
    """Return the number of rows and the sum of their texts' hashes, e.g. ``3:-123456``.

    It is the same on every server for the same rows, whatever the types' binary form and the
    session's settings.
    """
    own = columns or [column.name for column in table.columns]
    what = sql.SQL("(SELECT {} FROM {})").format(names(own), table.identifier)
    return (yield from checksum_of(connection, what))


def checksum_of(connection: AnyConnection, what: sql.Composable) -> Steps[str]:
    """Return the checksum of the rows of a query in parentheses; see ``checksum``."""
    count, total = yield from digest_of(connection, what)
    return f"{count}:{total}"


def digest(
    connection: AnyConnection, relation: sql.Composable, columns: Sequence[str]
) -> Steps[Digest]:
    """Return the digest of some columns of a table."""
    what = sql.SQL("(SELECT {} FROM {})").format(names(columns), relation)
    return (yield from digest_of(connection, what))


def digest_of(connection: AnyConnection, what: sql.Composable) -> Steps[Digest]:
    """Return the number of rows of a query in parentheses, and the sum of their texts' hashes.

    Digests add up: that of all rows is the sum of those of its parts.
    """
    before = yield from apply(connection, {k: v for k, v in READING.items() if "timeout" not in k})
    rows = yield from query(
        connection,
        sql.SQL(
            "SELECT count(*), coalesce(sum(pg_catalog.hashtextextended(r::text, 0)::numeric), 0)"
            "::text FROM {} AS r"
        ).format(what),
    )
    yield from apply(connection, before)
    count, total = rows[0]
    return count, int(total)
