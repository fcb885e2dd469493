"""What the server knows of a table."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from psycopg import sql

from pgstrata.tables.errors import InputError, TransferError
from pgstrata.tables.steps import AnyConnection, Describe, Steps, query

if TYPE_CHECKING:
    from collections.abc import Sequence

_TABLE = """
SELECT c.oid, n.nspname, c.relname, c.relkind::text,
  c.relrowsecurity AND pg_catalog.row_security_active(c.oid),
  EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid),
  EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.confrelid = c.oid AND k.contype = 'f'),
  EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid AND k.condeferrable)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = pg_catalog.to_regclass(%s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""
_TYPES = """
SELECT t.oid, pg_catalog.format_type(t.oid, NULL), t.typname, n.nspname = 'pg_catalog',
  t.typcategory::text, t.typsend <> 0 AND t.typreceive <> 0, coalesce(e.typname, '')
FROM pg_catalog.pg_type t
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
WHERE t.oid = ANY(%s)
"""
_TYPE_OF = ("type", "type_name", "builtin", "category", "binary", "element")
_OF_A_QUERY: dict[str, Any] = {
    "not_null": False,
    "has_default": False,
    "identity": "",
    "generated": "",
    "modifier": -1,  # it is not told, so a value may be of any length
}
_ABOUT = (
    *("oid", "schema", "name", "kind", "row_security"),
    *("has_children", "referenced", "deferrable"),
)
_COLUMNS = """
SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull,
  a.atthasdef OR a.attidentity <> '' OR t.typdefault IS NOT NULL,
  a.attidentity::text, a.attgenerated::text,
  t.typname, tn.nspname = 'pg_catalog', t.typcategory::text, a.atttypmod,
  t.typsend <> 0 AND t.typreceive <> 0, coalesce(e.typname, ''),
  coalesce(CASE WHEN t.typname IN ('int2', 'int4', 'int8')
    AND (a.atthasdef OR a.attidentity <> '') THEN pg_catalog.pg_get_serial_sequence(
      a.attrelid::pg_catalog.regclass::text, a.attname) END, '')
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace
LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""
_KEY = """
SELECT a.attname FROM pg_catalog.pg_index i
CROSS JOIN LATERAL pg_catalog.unnest(i.indkey::smallint[]) WITH ORDINALITY AS k(attnum, place)
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
WHERE i.indrelid = %s AND i.indisprimary AND k.place <= i.indnkeyatts ORDER BY k.place
"""
_NAMES = """
SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_'
  AND n.nspname <> 'information_schema'
"""
_NO_NAME = (  # empty, of three parts, of more
    psycopg.errors.InvalidName,
    psycopg.errors.FeatureNotSupported,
    psycopg.errors.SyntaxError,
)
_QUOTE = 'names with blanks or other signs need double quotes: "my table"'
_PLAIN = re.compile(r'(?:[\w.$]|"[^"]*")+')


class Column(NamedTuple):
    """``type`` is written out with its modifier; ``builtin`` types are PostgreSQL's own. A column
    that counts has its ``sequence``, by name as SQL has it.
    """

    name: str
    type: str
    not_null: bool
    has_default: bool
    identity: str
    generated: str
    type_name: str
    builtin: bool
    category: str
    modifier: int
    binary: bool
    element: str
    sequence: str = ""

    @property
    def required(self) -> bool:
        """Whether an import has to bring a value."""
        return self.not_null and not self.has_default and not self.generated


class Table(NamedTuple):
    """``kind`` is pg_class.relkind. ``key`` is the primary key, empty if there is none. A query
    stands for a table with its text as ``query``.
    """

    oid: int
    schema: str
    name: str
    kind: str
    row_security: bool
    has_children: bool
    referenced: bool
    deferrable: bool
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    query: str = ""

    @property
    def identifier(self) -> sql.Composable:
        """What stands behind FROM: the qualified name, safe to compose, or the query."""
        if self.query:
            return as_relation(self.query)
        return sql.Identifier(self.schema, self.name)

    def as_copied(self, columns: Sequence[str]) -> sql.Composed | None:
        """Return what COPY reads without a query, which is faster, or None where that are not the
        same rows: it leaves out what inherits from a table, and refuses row security and generated
        columns.
        """
        special = self.kind != "r" or self.has_children or self.row_security or not columns
        if special or any(self.column(name).generated for name in columns):
            return None
        return sql.SQL("{} ({})").format(self.identifier, names(columns))

    def __str__(self) -> str:
        return "the query" if self.query else f"{self.schema}.{self.name}"

    def column(self, name: str) -> Column:
        """Return a column. Raises ``InputError`` with the nearest name."""
        for column in self.columns:
            if column.name == name:
                return column
        raise InputError(
            f'{self} has no column "{name}"', hint=nearest(name, [c.name for c in self.columns])
        )


def find_table(connection: AnyConnection, name: str) -> Steps[Table | None]:
    """Look a table up as SQL would: by the search path, folding what is not in double quotes.

    Returns None if there is none. Raises ``InputError`` if the text is no name.
    """
    try:
        rows = yield from query(connection, _TABLE, name)
    except _NO_NAME as error:
        raise InputError(f"{name!r} is not the name of a table", hint=_QUOTE) from error
    if not rows:
        return None
    columns = yield from query(connection, _COLUMNS, rows[0][0])
    key = yield from query(connection, _KEY, rows[0][0])
    found = tuple(Column(*column) for column in columns)
    about = dict(zip(_ABOUT, rows[0], strict=True))
    return Table(**about, columns=found, key=tuple(name for (name,) in key))


def get_table(
    connection: AnyConnection, name: str, *, advice: str = "", end: str = "database"
) -> Steps[Table]:
    """Look a table up. Raises ``InputError`` with the nearest names if there is none, or else with
    the ``advice``. ``end`` is what the message calls the place.
    """
    table = yield from find_table(connection, name)
    if table is None:
        names = [row[0] for row in (yield from query(connection, _NAMES))]
        quote = "" if _PLAIN.fullmatch(name) else _QUOTE
        raise InputError(
            f"there is no table {name} in the {end} {connection.info.dbname}",
            hint=nearest(name, names) or quote or advice,
        )
    return table


def of_query(connection: AnyConnection, text: str) -> Steps[Table]:
    """Return the table that a query makes. Raises ``InputError`` for columns of one name."""
    whole = sql.SQL("SELECT * FROM {} LIMIT 0").format(as_relation(text))
    described = yield Describe(connection, whole)
    rows = yield from query(connection, _TYPES, [oid for _, oid in described])
    types = {oid: dict(zip(_TYPE_OF, about, strict=True)) for oid, *about in rows}
    columns = tuple(Column(name, **types[oid], **_OF_A_QUERY) for name, oid in described)
    if len({column.name for column in columns}) < len(columns):
        raise InputError("two columns of the query have one name", hint="name them with AS")
    return Table(0, "", "", "", False, False, False, False, columns, (), text)


def as_relation(text: str) -> sql.Composed:
    """Return what stands behind FROM for a query, which may end in a semicolon, or in a comment:
    without the newline that would take the rest with it.
    """
    return sql.SQL("({}\n) AS q").format(sql.SQL(text.rstrip().rstrip("; \n")))


def server_version(connection: AnyConnection) -> int:
    """Return the major version of the server. Raises ``TransferError`` for one that is too old."""
    version = connection.info.server_version // 10000
    if version < 13:  # noqa: PLR2004  # its pg_xact_status and transaction ids are what is relied on
        raise TransferError(f"the server is PostgreSQL {version}", hint="13 or newer is needed")
    return version


def names(columns: Sequence[str]) -> sql.Composed:
    """Return a comma separated list of quoted names."""
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def nearest(name: str, candidates: Sequence[str]) -> str:
    """Return a hint with the candidates that look like ``name``, also in another case or schema."""
    import difflib

    bare = {c.rpartition(".")[2].strip('"').lower(): c for c in candidates}
    wanted = name.rpartition(".")[2].strip('"').lower()
    found = [bare[match] for match in difflib.get_close_matches(wanted, bare, 3, 0.6)]
    return f"did you mean {' or '.join(found)}?" if found else ""
