"""What an export reads: a table as it is, or a query over it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from pgstrata.tables.catalog import as_relation, get_table, names
from pgstrata.tables.steps import AnyConnection, Describe, Steps, query

if TYPE_CHECKING:
    from pgstrata.tables.options import ExportOptions

# What a spreadsheet would run as a formula, and the categories of types that may hold it.
_FORMULA, _TEXTUAL = "^[-=+@\t\r]", ("S", "E", "U")


def selected(connection: AnyConnection, what: str, options: ExportOptions) -> Steps[sql.Composable]:
    """Return what stands after COPY: the table itself where that is possible, else a query.

    Raises ``InputError`` if there is no such table or column.
    """
    if options.query:
        inner = as_relation(what)
        columns = (yield from _described(connection, inner)) if options.spreadsheet_safe else []
        chosen_rows: sql.Composable = sql.SQL("SELECT * FROM {}").format(inner)
    else:
        table = yield from get_table(connection, what)
        chosen = [table.column(c).name for c in options.columns or ()]
        own = chosen or [c.name for c in table.columns if not c.generated]
        whole = not (options.where or options.order or options.spreadsheet_safe)
        if whole and (plain := table.as_copied(own)):
            return plain
        columns = [(c, table.column(c).category) for c in own]
        inner = sql.SQL("{}").format(table.identifier)
        chosen_rows = sql.SQL("SELECT {} FROM {}").format(names(own), inner)
    if options.spreadsheet_safe:
        fields = sql.SQL(", ").join(_guarded(*column) for column in columns)
        chosen_rows = sql.SQL("SELECT {} FROM {}").format(fields, inner)
    return sql.SQL("({}{})").format(chosen_rows, _clauses(options))


def _clauses(options: ExportOptions) -> sql.Composed:
    clauses = [sql.SQL("")]
    if options.where:
        clauses.append(sql.SQL(f"WHERE {options.where}\n"))
    if options.order:
        clauses.append(sql.SQL(f"ORDER BY {options.order}\n"))
    return sql.SQL(" ").join(clauses)


def _described(connection: AnyConnection, inner: sql.Composed) -> Steps[list[tuple[str, str]]]:
    """Return the columns of a query and the categories of their types."""
    text = sql.SQL("SELECT * FROM {} LIMIT 0").format(inner)
    columns = yield Describe(connection, text)
    rows = yield from query(
        connection,
        "SELECT oid, typcategory::text FROM pg_catalog.pg_type WHERE oid = ANY(%s)",
        [oid for _, oid in columns],
    )
    kinds = dict(rows)
    return [(column, kinds[oid]) for column, oid in columns]


def _guarded(name: str, category: str) -> sql.Composable:
    """Return a column with an apostrophe before what a spreadsheet would take for a formula."""
    column = sql.Identifier(name)
    if category not in _TEXTUAL:
        return column
    return sql.SQL(
        "CASE WHEN {c}::text ~ {f} THEN '''' || {c}::text ELSE {c}::text END AS {c}"
    ).format(c=column, f=sql.Literal(_FORMULA))
