"""How far a copy in batches has come: a row of the target, written with the rows that it counts."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from psycopg import sql

from pgstrata.tables.ledger import Begun, made
from pgstrata.tables.steps import Steps, query

if TYPE_CHECKING:
    from pgstrata.tables.catalog import Table
    from pgstrata.tables.copyplan import Copy
    from pgstrata.tables.results import CopyPlan

TABLE = "pgstrata_copies"  # in the schema of the table that is filled
_ROUNDS = 100_000  # of a hash over a salt, which could else be guessed from the target


class State(NamedTuple):
    """``after`` is the key of the last row that is committed, each part as its type's text; None at
    the beginning. ``what`` is the target, as long as it exists, and the key's columns and types.
    """

    what: str
    after: tuple[str, ...] | None = None
    loaded: int = 0
    done: bool = False


class CopyLedger:
    """The row of one copy: of one source, one target, and one choice of rows and masks."""

    def __init__(self, copy: Copy, plan: CopyPlan, origin: Table, goal: Table) -> None:
        key = [(name, origin.column(name).type) for name in origin.key]
        self.what = repr((plan.target_table, goal.oid, key))
        end = plan.source
        self.source = f"{plan.source_table} of {end.database} on {end.host}:{end.port}"
        self.id = copy.options.copy_id or _id_of(copy, plan, self.source + self.what)
        self._connection = copy.target
        self._table = plan.target_table
        self._relation = sql.Identifier(goal.schema, TABLE)

    def create(self) -> Steps[None]:
        """Make the table of all ledgers of a schema if it is not there."""
        yield from made(
            self._connection,
            self._relation,
            'id text PRIMARY KEY, source text NOT NULL, "table" text NOT NULL, what text NOT NULL,'
            " after text[], loaded bigint NOT NULL, done boolean NOT NULL,"
            " changed timestamptz NOT NULL DEFAULT now()",
        )

    def read(self) -> Steps[State | None]:
        """Return how far an earlier run came, locking it against another one."""
        text = "SELECT what, after, loaded, done FROM {} WHERE id = {} FOR UPDATE"
        composed = sql.SQL(text).format(self._relation, sql.Literal(self.id))
        rows = yield from query(self._connection, composed)
        if not rows:
            return None
        what, after, loaded, done = rows[0]
        return State(what, None if after is None else tuple(after), loaded, done)

    def begun(self) -> Steps[list[Begun]]:
        """Return the copies into the same table that have not ended, the last one first."""
        text = (
            'SELECT id, source, loaded FROM {} WHERE "table" = {} AND NOT done'
            " AND after IS NOT NULL ORDER BY changed DESC"
        )
        composed = sql.SQL(text).format(self._relation, sql.Literal(self._table))
        rows = yield from query(self._connection, composed)
        return [Begun(*row) for row in rows]

    def write(self, state: State) -> Steps[None]:
        """Note how far this run is."""
        text = (
            'INSERT INTO {} (id, source, "table", what, after, loaded, done) VALUES ({})'
            ' ON CONFLICT (id) DO UPDATE SET (source, "table", what, after, loaded, done, changed)'
            ' = ROW(excluded.source, excluded."table", excluded.what, excluded.after,'
            " excluded.loaded, excluded.done, now())"
        )
        after = None if state.after is None else list(state.after)
        place = (self.id, self.source, self._table, self.what)
        given = map(sql.Literal, (*place, after, state.loaded, state.done))
        composed = sql.SQL(text).format(self._relation, sql.SQL(", ").join(given))
        yield from query(self._connection, composed)


def _id_of(copy: Copy, plan: CopyPlan, ends: str) -> str:
    """Return what is the same for the same rows with the same masks only."""
    options = copy.options
    chosen = repr((ends, plan.columns, options.where, sorted(options.masks.items()))).encode()
    if options.salt is None or not options.masks:
        return hashlib.sha256(chosen).hexdigest()
    return hashlib.pbkdf2_hmac("sha256", options.salt.reveal().encode(), chosen, _ROUNDS).hex()
