"""How far a copy in batches has come: a row of the target, written with the rows that it counts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg import sql

from pgstrata.tables.steps import Steps, query

if TYPE_CHECKING:
    from pgstrata.tables.copyplan import Copy
    from pgstrata.tables.results import CopyPlan

TABLE = "pgstrata_copies"  # in the schema of the table that is filled


@dataclass(frozen=True, slots=True)
class State:
    """``after`` is the key of the last row that is committed, each part as its type's text; None at
    the beginning.
    """

    after: tuple[str, ...] | None = None
    loaded: int = 0
    done: bool = False


@dataclass(frozen=True, slots=True)
class Begun:
    """A copy that has committed rows and not ended."""

    id: str
    source: str
    loaded: int


class CopyLedger:
    """The row of one copy: of one source, one target, and one choice of rows and masks."""

    def __init__(self, copy: Copy, plan: CopyPlan, schema: str) -> None:
        self.id = copy.options.copy_id or _id_of(copy, plan)
        self.source = _place(plan)
        self._connection = copy.target
        self._table = plan.target_table
        self._relation = sql.Identifier(schema, TABLE)

    def create(self) -> Steps[None]:
        """Make the table of all ledgers of a schema if it is not there."""
        text = (
            "CREATE TABLE IF NOT EXISTS {} (id text PRIMARY KEY, source text NOT NULL,"
            ' "table" text NOT NULL, after text[], loaded bigint NOT NULL, done boolean NOT NULL,'
            " changed timestamptz NOT NULL DEFAULT now())"
        )
        yield from query(self._connection, sql.SQL(text).format(self._relation))

    def read(self) -> Steps[State | None]:
        """Return how far an earlier run came, locking it against another one."""
        text = "SELECT after, loaded, done FROM {} WHERE id = %s FOR UPDATE"
        rows = yield from query(self._connection, sql.SQL(text).format(self._relation), self.id)
        if not rows:
            return None
        after, loaded, done = rows[0]
        return State(None if after is None else tuple(after), loaded, done)

    def begun(self) -> Steps[list[Begun]]:
        """Return the copies into the same table that have not ended, the last one first."""
        text = (
            'SELECT id, source, loaded FROM {} WHERE "table" = %s AND NOT done'
            " AND after IS NOT NULL ORDER BY changed DESC"
        )
        composed = sql.SQL(text).format(self._relation)
        rows = yield from query(self._connection, composed, self._table)
        return [Begun(*row) for row in rows]

    def write(self, state: State) -> Steps[None]:
        """Note how far this run is."""
        text = (
            'INSERT INTO {} (id, source, "table", after, loaded, done)'
            " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (id) DO UPDATE"
            ' SET (source, "table", after, loaded, done, changed) = ROW(excluded.source,'
            ' excluded."table", excluded.after, excluded.loaded, excluded.done, now())'
        )
        after = None if state.after is None else list(state.after)
        values = (self.id, self.source, self._table, after, state.loaded, state.done)
        yield from query(self._connection, sql.SQL(text).format(self._relation), *values)


def _place(plan: CopyPlan) -> str:
    end = plan.source
    return f"{plan.source_table} of {end.database} on {end.host}:{end.port}"


def _id_of(copy: Copy, plan: CopyPlan) -> str:
    """Return what is the same for the same rows with the same masks only."""
    options = copy.options
    salt = options.salt.reveal() if options.salt and options.masks else ""
    chosen = (plan.columns, options.where, sorted(options.masks.items()), salt)
    return hashlib.sha256(repr((_place(plan), plan.target_table, *chosen)).encode()).hexdigest()
