"""Types for a table that is not there yet, from the values of a file.

The narrowest type that holds every value wins: boolean, integer, bigint, numeric, double precision,
date, timestamp with or without time zone, uuid, else text. Numbers with leading zeros stay text, as
they are codes and not quantities.
"""

from __future__ import annotations

import csv
import io
import re
from contextlib import closing
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from pgstrata.tables.errors import InputError
from pgstrata.tables.prepare import Opened, open_file
from pgstrata.tables.session import refused
from pgstrata.tables.steps import AnyConnection, Local, Steps, query

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pgstrata.tables.options import ImportOptions
    from pgstrata.tables.replay import Replay
    from pgstrata.tables.source import Source

BATCH = 1000  # records whose values one regular expression looks at together
_DATE = r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
_TIME = r"(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,6})?)?"
_ZONE = r" ?(?:Z|[+-]\d\d(?::?\d\d)?)"
_WHOLE = r"-?(?:0|[1-9]\d{0,%d})"
# From narrow to wide; a column begins at the top and goes down as values do not fit.
TYPES = {
    "boolean": r"(?i:t|f|true|false)",
    "integer": _WHOLE % 8,
    "bigint": _WHOLE % 17,
    "numeric": r"-?(?:0|[1-9]\d*)(?:\.\d+)?",
    "double precision": r"-?(?:(?:0|[1-9]\d*)(?:\.\d+)?|\.\d+)(?:[eE][+-]?[12]?\d{1,2})?"
    r"|NaN|-?Infinity",
    "date": _DATE,
    "timestamp": rf"{_DATE}[ T]{_TIME}",
    "timestamptz": rf"{_DATE}[ T]{_TIME}{_ZONE}",
    "uuid": r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    "text": r".*",
}
_COLUMNS = {name: re.compile(f"(?:(?:{p})?\\0)*", re.DOTALL) for name, p in TYPES.items()}
_ORDER = list(TYPES)


def create_table(
    connection: AnyConnection, name: str, source: Source | Replay, options: ImportOptions
) -> Steps[str]:
    """Create the table that a file needs, and return the statement."""
    columns = yield Local(partial(inferred, source, options))
    rows = yield from query(connection, "SELECT pg_catalog.parse_ident(%s)", name)
    fields = [sql.SQL("{} " + kind).format(sql.Identifier(column)) for column, kind in columns]
    statement = sql.SQL("CREATE TABLE {} (\n  {}\n)").format(
        sql.Identifier(*rows[0][0]), sql.SQL(",\n  ").join(fields)
    )
    try:
        yield from query(connection, statement)
    except psycopg.Error as error:
        raise refused(error, f"cannot create {name}") from error
    return statement.as_string(None)


def inferred(source: Source | Replay, options: ImportOptions) -> list[tuple[str, str]]:
    """Return names and types of the columns, from ``options.sample`` records or all."""
    file = open_file(source, options)
    with closing(file.input):
        return _columns(file, options)


def narrowest(values: Iterable[str], at_least: str = "boolean") -> str:
    """Return the narrowest type, from ``at_least`` on, that holds all the values and empty ones."""
    text = "".join(f"{value}\0" for value in values)
    candidates = _ORDER[_ORDER.index(at_least) :]
    return next(name for name in candidates if _COLUMNS[name].fullmatch(text))


def _columns(file: Opened, options: ImportOptions) -> list[tuple[str, str]]:
    names = [field or "" for field in file.first]
    header = options.header is not False and all(not _is_value(name) for name in names)
    if options.header or header:
        file.take_header()
    else:
        names = [f"column_{number}" for number in range(1, len(names) + 1)]
    named = [(options.rename.get(name, name), index) for index, name in enumerate(names)]
    only = options.columns  # by name of field or column
    chosen = [(n, i) for n, i in named if only is None or n in only or names[i] in only]
    if len({name for name, _ in chosen}) < len(chosen) or not all(name for name, _ in chosen):
        raise InputError(f"{file.name}: the header has empty or doubled names: {', '.join(names)}")
    types = _types(file, len(names), options)
    return [(name, types[index]) for name, index in chosen]


def _types(file: Opened, width: int, options: ImportOptions) -> list[str]:
    types = ["boolean"] * width
    seen = [False] * width
    rows = islice(_rows(file), options.sample)
    while batch := list(islice(rows, BATCH)):
        whole = [row for row in batch if len(row) == width]  # a bad row is for the import to report
        for index, values in enumerate(zip(*whole, strict=True)):
            given = ["" if value == options.null else value for value in values]
            if any(given):
                types[index] = _widened(types[index], given, first=not seen[index])
                seen[index] = True
    return [kind if known else "text" for kind, known in zip(types, seen, strict=True)]


def _widened(kind: str, values: Sequence[str], *, first: bool) -> str:
    """Return the type for values of a column that was ``kind`` so far.

    A column that has been of one family (say dates) and now is of another is text.
    """
    found = narrowest(values)
    if first or found == kind:
        return found
    families = (("integer", "bigint", "numeric", "double precision"),)
    for family in families:
        if kind in family and found in family:
            return max(kind, found, key=family.index)
    return "text"


def _rows(file: Opened) -> Iterator[list[str]]:
    # The csv module is right for inference only: it cannot tell NULL from empty text, and reads
    # stray quotes otherwise than the server. Where that matters the import itself says so, with the
    # line.
    # Not splitlines(): it would cut a value at U+2028 and the like too.
    lines = chain.from_iterable(
        io.StringIO(file.text(block.data), newline="") for block in file.blocks()
    )
    csv.field_size_limit(2**31 - 1)
    dialect = file.dialect
    own_escape = dialect.escape != dialect.quote
    return csv.reader(
        lines,
        delimiter=dialect.delimiter,
        quotechar=dialect.quote,
        escapechar=dialect.escape if own_escape else None,
        doublequote=not own_escape,
    )


def _is_value(name: str) -> bool:
    return narrowest([name]) not in ("text", "boolean") or not name
