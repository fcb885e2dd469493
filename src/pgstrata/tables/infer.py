"""Types for a table that is not there yet, from the values of a file.

The narrowest type that holds every value, and every digit of it, wins: boolean, integer, bigint,
numeric, double precision, date, timestamp with or without time zone, uuid, else text. Numbers with
leading zeros stay text, as they are codes and not quantities.
"""

from __future__ import annotations

import csv
import io
import re
from contextlib import closing, contextmanager
from functools import partial
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

import psycopg
from psycopg import sql

from pgstrata.tables.dialect import Dialect, split
from pgstrata.tables.errors import InputError
from pgstrata.tables.prepare import Opened, open_file
from pgstrata.tables.records import Block, Scanner
from pgstrata.tables.session import refused
from pgstrata.tables.steps import AnyConnection, Local, Steps, query

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pgstrata.tables.options import ImportOptions
    from pgstrata.tables.replay import Replay
    from pgstrata.tables.source import Source

BATCH = 1000  # records whose values one regular expression looks at together
_LIMIT = Lock()  # of who changes the limit of the csv module: else one would restore another's
_EMPTY = '""'  # stands for empty text in quotes, which is a value, and of no type but text
_DAY = (
    r"(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)"
    r"|02-(?:0[1-9]|1\d|2[0-8]))"
)
_LEAP = r"(?:\d\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29"
_DATE = rf"(?!0000)(?:\d{{4}}-{_DAY}|{_LEAP})"
_TIME = r"(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,6})?)?"
_ZONE = r" ?(?:Z|[+-]\d\d(?::?\d\d)?)"
_WHOLE = r"-?(?:0|[1-9]\d{0,%d})"
# numeric takes 131072 digits before the point and 16383 behind it, in which exponents count.
_LONG, _BEHIND = r"(?:0|[1-9]\d{0,99999})", r"\.\d{1,15000}"
_SHORT, _SHORT_BEHIND = r"(?:0|[1-9]\d{0,14})", r"\.\d{1,100}"
_FEW = r"(?=[0.]*[\d.]{0,15}(?![\d.]))"  # of 15 digits a double loses none


class Type(NamedTuple):
    """``column`` matches values of the type and empty ones, each of which ends in NUL. What it
    matches, those of the ``wider`` types do too.
    """

    name: str
    column: re.Pattern[str]
    wider: tuple[str, ...] = ()


def _type(name: str, pattern: str, *wider: str) -> Type:
    return Type(name, re.compile(f"(?:(?:{pattern})?\\0)*"), wider)


# The first one that fits is taken. A number that is written with an exponent was a double, as
# Infinity was: only where that would lose digits it is numeric, which has no Infinity before 14.
TYPES = (
    _type("boolean", r"(?i:t|f|true|false)"),
    _type("integer", _WHOLE % 8, "bigint", "numeric", "double precision"),
    _type("bigint", _WHOLE % 17, "numeric"),
    _type("numeric", rf"-?{_LONG}(?:{_BEHIND})?", "numeric"),
    _type(
        "double precision",
        rf"-?{_FEW}(?:{_SHORT}(?:{_SHORT_BEHIND})?|{_SHORT_BEHIND})(?:[eE][+-]?[01]?\d{{1,2}})?"
        r"|NaN|-?Infinity",
    ),
    _type("numeric", rf"-?(?:{_LONG}(?:{_BEHIND})?|{_BEHIND})(?:[eE][+-]?\d{{1,3}})?|NaN"),
    _type("date", _DATE),
    _type("timestamp", rf"{_DATE}[ T]{_TIME}"),
    _type("timestamptz", rf"{_DATE}[ T]{_TIME}{_ZONE}"),
    _type("uuid", r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
    Type("text", re.compile(r".*", re.DOTALL)),
)


class Created(NamedTuple):
    """The statement that made a table, and whether its names are those of the file's header."""

    statement: str
    header: bool


def create_table(
    connection: AnyConnection, name: str, source: Source | Replay, options: ImportOptions
) -> Steps[Created]:
    """Create the table that a file needs."""
    columns, header = yield Local(partial(_inferred, source, options))
    rows = yield from query(connection, "SELECT pg_catalog.parse_ident(%s)", name)
    fields = [sql.SQL("{} " + kind).format(sql.Identifier(column)) for column, kind in columns]
    statement = sql.SQL("CREATE TABLE {} (\n  {}\n)").format(
        sql.Identifier(*rows[0][0]), sql.SQL(",\n  ").join(fields)
    )
    try:
        yield from query(connection, statement)
    except psycopg.Error as error:
        raise refused(error, f"cannot create {name}") from error
    return Created(statement.as_string(None), header)


def inferred(source: Source | Replay, options: ImportOptions) -> list[tuple[str, str]]:
    """Return names and types of the columns, from ``options.sample`` records or all."""
    return _inferred(source, options)[0]


def fitting(values: Iterable[str], among: Sequence[Type] = TYPES) -> Sequence[Type]:
    """Return the types that hold all the values and empty ones, the narrowest first."""
    text = "".join(f"{value}\0" for value in values)
    found: list[Type] = []
    for each in among:
        known = found and each.name in found[0].wider  # to look would take as long once more
        if known or each.column.fullmatch(text):
            found.append(each)
    return found


def is_value(field: str) -> bool:
    """Return whether a field is a number, a date or the like, which no column is called."""
    return fitting([field])[0].name not in ("text", "boolean")


def _inferred(
    source: Source | Replay, options: ImportOptions
) -> tuple[list[tuple[str, str]], bool]:
    """Return names and types of the columns, and whether the file has a header."""
    file = open_file(source, options)
    with closing(file.input):
        return _columns(file, options)


def _columns(file: Opened, options: ImportOptions) -> tuple[list[tuple[str, str]], bool]:
    names = [field or "" for field in file.first]
    header = options.header
    if header is None:
        header = all(name and not is_value(name) for name in names)
    if header:
        file.take_header()
    else:
        names = [f"column_{number}" for number in range(1, len(names) + 1)]
    named = [(options.rename.get(name, name), index) for index, name in enumerate(names)]
    only = options.columns  # by name of field or column
    chosen = [(n, i) for n, i in named if only is None or n in only or names[i] in only]
    if len({name for name, _ in chosen}) < len(chosen) or not all(name for name, _ in chosen):
        raise InputError(f"{file.name}: the header has empty or doubled names: {', '.join(names)}")
    types = _types(file, len(names), options)
    return [(name, types[index]) for name, index in chosen], header


def _types(file: Opened, width: int, options: ImportOptions) -> list[str]:
    fits: list[Sequence[Type]] = [()] * width  # none yet, of a column without values
    rows = islice(_rows(file, empty_as_null=options.empty_as_null), options.sample)
    while batch := list(islice(rows, BATCH)):
        whole = [row for row in batch if len(row) == width]  # a bad row is for the import to report
        for index, values in enumerate(zip(*whole, strict=True)):
            given = ["" if value == options.null else value for value in values]
            if any(given):
                fits[index] = fitting(given, fits[index] or TYPES)
    return [fit[0].name if fit else "text" for fit in fits]


def _rows(file: Opened, *, empty_as_null: bool) -> Iterator[list[str]]:
    """Yield the values of each record; "" is NULL, and ``_EMPTY`` empty text."""
    quote, delimiter = re.escape(file.dialect.quote), re.escape(file.dialect.delimiter)
    end = rf"(?:{delimiter}|[\r\n])"
    quoted = re.compile(rf"(?:\A|{end}){quote}{quote}(?:{end}|\Z)")
    for block in file.blocks():
        text = file.text(block.data)
        exact = not empty_as_null and quoted.search(text)
        yield from _split(block, file) if exact else _read(text, file.dialect)


def _split(block: Block, file: Opened) -> Iterator[list[str]]:
    """Yield values as the server reads them."""
    for record in Scanner(file.dialect).split(block.data):
        fields = split(file.text(record), file.dialect)
        yield ["" if field is None else field or _EMPTY for field in fields]


def _read(text: str, dialect: Dialect) -> list[list[str]]:
    """Return values ten times as fast by the csv module. It is right for inference only: it cannot
    tell NULL from empty text, and reads stray quotes otherwise than the server. Where that matters
    the import itself says so, with the line.
    """
    own_escape = dialect.escape != dialect.quote
    with _fields_of_any_length():
        return list(
            csv.reader(
                io.StringIO(text, newline=""),  # splitlines() would cut a value at U+2028 too
                delimiter=dialect.delimiter,
                quotechar=dialect.quote,
                escapechar=dialect.escape if own_escape else None,
                doublequote=not own_escape,
            )
        )


@contextmanager
def _fields_of_any_length() -> Iterator[None]:
    """Lift the limit of the csv module. It is the whole program's, so no file is read meanwhile."""
    with _LIMIT:
        before = csv.field_size_limit(2**31 - 1)
        try:
            yield
        finally:
            csv.field_size_limit(before)
