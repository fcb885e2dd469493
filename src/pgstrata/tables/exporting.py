"""From tables and queries into CSV files."""

from __future__ import annotations

import codecs
import os
import re
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import psycopg
from psycopg import sql

from pgstrata.tables import wire
from pgstrata.tables.catalog import Table, get_table, names
from pgstrata.tables.encoding import find_encoding
from pgstrata.tables.errors import InputError, TransferError
from pgstrata.tables.results import ExportResult
from pgstrata.tables.session import READING, refused, transaction
from pgstrata.tables.source import AUTO, NONE, Codec, codec_for, codec_named
from pgstrata.tables.statement import copy_out
from pgstrata.tables.steps import AnyConnection, Describe, Local, Steps, Wire, query
from pgstrata.tables.strict import stop_reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pgstrata.tables.job import Tally
    from pgstrata.tables.options import ExportOptions

BLOCK = 256 * 1024  # bytes handed to the file at once
_TABLES = """
SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1
"""
# What a spreadsheet would run as a formula, and the categories of types that may hold it.
_FORMULA, _TEXTUAL = "^[-=+@\t\r]", ("S", "E", "U")


def export_steps(
    connection: AnyConnection, what: str, target: Any, options: ExportOptions, tally: Tally
) -> Steps[ExportResult]:
    """Export one table or query; see ``export_csv``."""
    body = _one(connection, what, target, options, tally)
    return (yield from transaction(connection, body, READING, read_only=True))


def export_all_steps(
    connection: AnyConnection, schema: str, folder: Path, options: ExportOptions, tally: Tally
) -> Steps[ExportResult]:
    """Export all tables of a schema, in one snapshot; see ``export_schema``."""
    body = _all(connection, schema, folder, options, tally)
    return (yield from transaction(connection, body, READING, read_only=True))


def file_name_steps(connection: AnyConnection, name: str, options: ExportOptions) -> Steps[str]:
    """Return the file that a table goes into if none is named; see ``default_name``."""
    table = yield from get_table(connection, name)
    return default_name(table, options.compression if options.compression != AUTO else NONE)


def default_name(table: Table, compression: str = NONE) -> str:
    """Return a file name that keeps schema and table, and is safe on every system."""
    bare = re.sub(r"[^\w.-]", "_", str(table)).lstrip(".-")
    return f"{bare}.csv" + ("" if compression == NONE else f".{compression}")


def _all(
    connection: AnyConnection, schema: str, folder: Path, options: ExportOptions, tally: Tally
) -> Steps[ExportResult]:
    found = yield from query(connection, _TABLES, schema)
    if not found:
        raise InputError(f"there are no tables in the schema {schema}")
    yield Local(partial(folder.mkdir, parents=True, exist_ok=True))
    files: list[str] = []
    for (name,) in found:
        quoted = sql.Identifier(schema, name).as_string(None)
        path = folder / (yield from file_name_steps(connection, quoted, options))
        one = yield from _one(connection, quoted, path, options, tally)
        files += one.files
    return ExportResult(tally.rows, tally.bytes, tally.seconds, tuple(files), options.compression)


def _one(
    connection: AnyConnection, what: str, target: Any, options: ExportOptions, tally: Tally
) -> Steps[ExportResult]:
    selected = yield from _selected(connection, what, options)
    codec = _codec(target, options)
    encoding = find_encoding(b"", options.encoding if options.encoding != AUTO else "utf-8")
    dialect = options.dialect
    text = copy_out(
        selected, dialect, encoding.server, header=options.header, quoted=options.quoted
    )
    before = tally.bytes
    with _written(target, codec, overwrite=options.overwrite) as out:
        write = _encoder(out, options.encoding, transcoded=encoding.transcoded)
        rows = yield from _copied(
            connection, text.as_bytes(None), write, tally, header=options.header
        )
    tally.tell()
    return ExportResult(
        rows=rows,
        bytes=tally.bytes - before,
        seconds=tally.seconds,
        files=(str(target),) if isinstance(target, (str, os.PathLike)) else (),
        compression=codec.name if codec else NONE,
        round_trip=not options.spreadsheet_safe,
    )


def _copied(
    connection: AnyConnection,
    statement: bytes,
    write: Callable[[bytes], Any],
    tally: Tally,
    *,
    header: bool,
) -> Steps[int]:
    """Run COPY TO and write what comes; return the rows, which the server has to confirm."""
    pgconn, rows = connection.pgconn, -int(header)
    try:
        yield Wire(connection, wire.start(pgconn, statement))
        total = -1
        while total < 0:
            data, count, total = yield Wire(connection, wire.read(pgconn, BLOCK))
            yield Local(partial(write, data))
            rows += count
            tally.add(count, tally.bytes + len(data))
    except psycopg.Error as error:
        raise refused(error, "nothing was exported") from error
    except BaseException:
        yield from stop_reading(connection)
        raise
    tally.rows -= int(header)
    if rows != total:
        raise TransferError(f"{rows} rows came, but the server sent {total}; nothing was exported")
    return rows


def _selected(
    connection: AnyConnection, what: str, options: ExportOptions
) -> Steps[sql.Composable]:
    """Return what stands after COPY: the table itself where that is possible, else a query."""
    if options.query:
        inner = sql.SQL("({}) AS q").format(sql.SQL(what))
        columns = (yield from _described(connection, inner)) if options.spreadsheet_safe else []
        selected: sql.Composable = sql.SQL("SELECT * FROM {}").format(inner)
    else:
        table = yield from get_table(connection, what)
        chosen = [table.column(c).name for c in options.columns or ()]
        own = chosen or [c.name for c in table.columns if not c.generated]
        generated = any(table.column(c).generated for c in own)
        plain = table.kind == "r" and not (options.where or options.order or table.row_security)
        if plain and not generated and not options.spreadsheet_safe and own:
            return sql.SQL("{} ({})").format(table.identifier, names(own))
        columns = [(c, table.column(c).category) for c in own]
        inner = sql.SQL("{}").format(table.identifier)
        selected = sql.SQL("SELECT {} FROM {}").format(names(own), inner)
    if options.spreadsheet_safe:
        fields = sql.SQL(", ").join(_guarded(*column) for column in columns)
        selected = sql.SQL("SELECT {} FROM {}").format(fields, inner)
    return sql.SQL("({}{})").format(selected, _clauses(options))


def _clauses(options: ExportOptions) -> sql.Composed:
    clauses = [sql.SQL("")]
    if options.where:
        clauses.append(sql.SQL(f"WHERE {options.where}"))
    if options.order:
        clauses.append(sql.SQL(f"ORDER BY {options.order}"))
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


def _codec(target: Any, options: ExportOptions) -> Codec | None:
    if options.compression == NONE:
        return None
    if options.compression != AUTO:
        return codec_named(options.compression)
    return codec_for(Path(target)) if isinstance(target, (str, os.PathLike)) else None


def _encoder(out: IO[bytes], encoding: str, *, transcoded: bool) -> Callable[[bytes], Any]:
    """Return a function that writes what came from the server, in another encoding if need be."""
    name = codecs.lookup(encoding).name if encoding != AUTO else "utf-8"
    if name == "utf-8-sig":
        out.write(codecs.BOM_UTF8)
    if not transcoded:
        return out.write
    encode = codecs.getincrementalencoder(name)("strict").encode

    def write(data: bytes) -> None:
        try:
            out.write(encode(data.decode()))
        except UnicodeEncodeError as error:
            lacking = error.object[error.start : error.start + 1]
            raise TransferError(f"{name} has no {lacking!r}", hint="use utf-8") from error

    return write


@contextmanager
def _written(target: Any, codec: Codec | None, *, overwrite: bool) -> Iterator[IO[bytes]]:
    """Open what to write to; a file appears under its name only when it is complete."""
    if not isinstance(target, (str, os.PathLike)):
        with _compressed(cast("IO[bytes]", target), codec) as out:
            yield out
        target.flush()
        return
    path = Path(target)
    part = path.with_name(f"{path.name}.part")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists", hint="give another name, or overwrite it (--force)")
    try:
        with _created(part) as raw:
            with _compressed(raw, codec) as out:
                yield out
            raw.flush()
            os.fsync(raw.fileno())
        if path.exists() and not overwrite:
            raise InputError(f"{path} has appeared meanwhile", hint="overwrite it, or rename it")
        part.replace(path)
    except OSError as error:
        raise TransferError(f"cannot write {path}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def _created(part: Path) -> IO[bytes]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(part, flags, 0o600), "wb")


@contextmanager
def _compressed(raw: IO[bytes], codec: Codec | None) -> Iterator[IO[bytes]]:
    if codec is None:
        yield raw
        return
    with codec.open(raw, "wb") as out:
        yield out
