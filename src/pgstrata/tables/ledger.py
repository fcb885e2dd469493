"""What is committed of a file: a row written in the transaction of the records it counts.

The row says how far the import is and a digest of all bytes up to there. An import that goes on
reads these bytes again and compares, so a file that has changed is not taken for the one begun.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

from psycopg import sql

from pgstrata.tables.steps import AnyConnection, Steps, query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import LiteralString

    from pgstrata.tables.catalog import Table

TABLE = "pgstrata_imports"  # in the schema of the table that is filled


class State(NamedTuple):
    """``table`` is the oid of what is filled: one made anew holds none of the rows.

    ``offset``, ``line`` and ``record`` are where the next record begins; the rest is counted.
    """

    table: int
    offset: int
    line: int
    record: int
    digest: str
    loaded: int = 0
    rejected: int = 0
    rejects_size: int = 0
    details_size: int = 0
    done: bool = False


class Begun(NamedTuple):
    """An import or copy that has committed rows and not ended; ``source`` is the file, or the table
    that is read.
    """

    id: str
    source: str
    loaded: int


def ids_of(
    files: Sequence[tuple[str, tuple[str, ...]]], table: Table, given: str = ""
) -> list[str]:
    """Return what each file, of which name and columns are given, is resumed by.

    That is the table, as long as it exists, the last part of the file's name and the columns, or
    the ``given`` id; where that would be the same for several files they are numbered.
    """
    seen: Counter[str] = Counter()
    ids = []
    for name, columns in files:
        key = repr((str(table), table.oid, PurePath(name).name, columns)).encode()
        one = given or hashlib.sha256(key).hexdigest()
        seen[one] += 1
        ids.append(one if seen[one] == 1 else f"{one}#{seen[one]}")
    return ids


def made(
    connection: AnyConnection, relation: sql.Identifier, columns: LiteralString
) -> Steps[None]:
    """Make a table of ledgers if it is not there: that alone needs the right to make tables.

    Values stand in the text of all statements on ledgers, since the name of a schema may hold a
    percent sign, which parameters would give a meaning.
    """
    name = relation.as_string(None)
    if (yield from query(connection, "SELECT 1 WHERE pg_catalog.to_regclass(%s) IS NULL", name)):
        # Of two that find nothing one would fail, and be told of an index of the server's catalog.
        yield from query(connection, "SELECT pg_catalog.pg_advisory_xact_lock(7311)::text")
        text = sql.SQL("CREATE TABLE IF NOT EXISTS {} ({})")
        yield from query(connection, text.format(relation, sql.SQL(columns)))


class Ledger:
    """The row of one file, table and set of columns."""

    def __init__(self, connection: AnyConnection, table: Table, file: str, import_id: str) -> None:
        self.id = import_id
        self._connection = connection
        self._relation = sql.Identifier(table.schema, TABLE)
        self._table = table.oid
        self._names = (PurePath(file).name, str(table))

    def create(self) -> Steps[None]:
        """Make the table of all ledgers of a schema if it is not there."""
        yield from made(
            self._connection,
            self._relation,
            "id text PRIMARY KEY, file text NOT NULL,"
            ' "table" text NOT NULL, oid oid NOT NULL, "offset" bigint NOT NULL,'
            " line bigint NOT NULL,"
            " record bigint NOT NULL, digest text NOT NULL, loaded bigint NOT NULL,"
            " rejected bigint NOT NULL, rejects_size bigint NOT NULL, details_size bigint NOT NULL,"
            " done boolean NOT NULL, changed timestamptz NOT NULL DEFAULT now()",
        )

    def read(self) -> Steps[State | None]:
        """Return how far an earlier run came, locking it against another one."""
        text = (
            'SELECT oid, "offset", line, record, digest, loaded, rejected, rejects_size,'
            " details_size, done"
            " FROM {} WHERE id = {} FOR UPDATE"
        )
        composed = sql.SQL(text).format(self._relation, sql.Literal(self.id))
        rows = yield from query(self._connection, composed)
        return State(*rows[0]) if rows else None

    def begun(self) -> Steps[list[Begun]]:
        """Return the imports into the same table that have not ended."""
        text = (
            "SELECT id, file, loaded FROM {} WHERE oid = {} AND NOT done AND record > 1"
            " ORDER BY changed DESC"
        )
        composed = sql.SQL(text).format(self._relation, sql.Literal(self._table))
        rows = yield from query(self._connection, composed)
        return [Begun(*row) for row in rows]

    def write(self, state: State) -> Steps[None]:
        """Note how far this run is."""
        text = (
            'INSERT INTO {} (id, file, "table", oid, "offset", line, record, digest, loaded,'
            " rejected, rejects_size, details_size, done)"
            " VALUES ({})"
            ' ON CONFLICT (id) DO UPDATE SET (file, "table", oid, "offset", line, record, digest,'
            " loaded, rejected, rejects_size, details_size, done, changed) = ROW(excluded.file,"
            ' excluded."table", excluded.oid, excluded."offset", excluded.line, excluded.record,'
            " excluded.digest, excluded.loaded, excluded.rejected, excluded.rejects_size,"
            " excluded.details_size, excluded.done, now())"
        )
        given = sql.SQL(", ").join(map(sql.Literal, (self.id, *self._names, *state)))
        yield from query(self._connection, sql.SQL(text).format(self._relation, given))
