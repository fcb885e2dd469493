"""The COPY statements."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from psycopg import sql

from pgstrata.tables.catalog import names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgstrata.tables.dialect import Dialect


class Target(NamedTuple):
    """Where COPY writes: the table itself, or a staging table in its stead.

    ``name`` is the bare name by which the server's messages call it; ``columns`` are in the order
    of the file. A staging table has the name of the ``table`` that it stands for, and may have a
    column that numbers its rows, ``number``; else they are empty.
    """

    relation: sql.Composable
    name: str
    columns: tuple[str, ...]
    number: str = ""
    table: str = ""


def copy_in(
    target: Target,
    dialect: Dialect,
    encoding: str,
    *,
    force_null: bool = False,
    lenient: bool = False,
) -> sql.Composed:
    """Return COPY … FROM STDIN for the fields of a file.

    HEADER is always on, and ``header_line`` goes first: so the server knows from its first line how
    lines end, without which it miscounts them if the first record holds a newline.
    ``lenient`` lets PostgreSQL 17 and newer skip, and report, rows of which a value is malformed.
    """
    options = [sql.SQL("FORMAT csv, HEADER true"), *_separators(dialect, encoding)]
    if force_null:
        options.append(sql.SQL("FORCE_NULL ({})").format(names(target.columns)))
    if lenient:
        options.append(sql.SQL("ON_ERROR ignore, LOG_VERBOSITY verbose"))
    return sql.SQL("COPY {} ({}) FROM STDIN ({})").format(
        target.relation, names(target.columns), sql.SQL(", ").join(options)
    )


def header_line(dialect: Dialect) -> bytes:
    """Return the line that HEADER skips."""
    return b"h" + dialect.newline.encode()


def copy_out(
    what: sql.Composable, dialect: Dialect, encoding: str, *, header: bool, quoted: Sequence[str]
) -> sql.Composed:
    """Return COPY … TO STDOUT; ``quoted`` columns are always quoted."""
    options = [
        sql.SQL("FORMAT csv, HEADER {}").format(sql.SQL("true" if header else "false")),
        *_separators(dialect, encoding),
    ]
    if quoted:
        options.append(sql.SQL("FORCE_QUOTE ({})").format(names(quoted)))
    return sql.SQL("COPY {} TO STDOUT ({})").format(what, sql.SQL(", ").join(options))


def _separators(dialect: Dialect, encoding: str) -> list[sql.Composable]:
    values = {
        "DELIMITER": dialect.delimiter,
        "QUOTE": dialect.quote,
        "ESCAPE": dialect.escape,
        "NULL": dialect.null,
        "ENCODING": encoding,
    }
    return [sql.SQL(f"{name} {{}}").format(sql.Literal(value)) for name, value in values.items()]
