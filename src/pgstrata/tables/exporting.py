"""From tables and queries into CSV files."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from pgstrata.tables import wire
from pgstrata.tables.catalog import Table, get_table
from pgstrata.tables.encoding import find_encoding
from pgstrata.tables.errors import InputError, TransferError, refusing
from pgstrata.tables.outfile import chosen_codec, encoder, written
from pgstrata.tables.results import ExportResult
from pgstrata.tables.selection import selected
from pgstrata.tables.session import READING, refused, snapshot
from pgstrata.tables.source import AUTO, NONE
from pgstrata.tables.statement import copy_out
from pgstrata.tables.steps import AnyConnection, Local, Steps, Wire, query

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pgstrata.tables.job import Tally
    from pgstrata.tables.options import ExportOptions

BLOCK = 256 * 1024  # bytes handed to the file at once
_TABLES = """
SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1
"""


def export_steps(
    connection: AnyConnection, what: str, target: Any, options: ExportOptions, tally: Tally
) -> Steps[ExportResult]:
    """Export one table or query; see ``export_csv``."""
    body = _one(connection, what, target, options, tally)
    return (yield from snapshot(connection, body, READING))


def export_all_steps(
    connection: AnyConnection, schema: str, folder: Path, options: ExportOptions, tally: Tally
) -> Steps[ExportResult]:
    """Export all tables of a schema, in one snapshot; see ``export_schema``."""
    body = _all(connection, schema, folder, options, tally)
    return (yield from snapshot(connection, body, READING))


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
    with refusing(folder):
        yield Local(partial(folder.mkdir, parents=True, exist_ok=True))
    paths: dict[Path, str] = {}
    for (name,) in found:
        quoted = sql.Identifier(schema, name).as_string(None)
        path = folder / (yield from file_name_steps(connection, quoted, options))
        _refuse_second(path, quoted, paths)
        paths[path] = quoted
    done = []
    for path, quoted in paths.items():
        done.append((yield from _one(connection, quoted, path, options, tally)))
    files, seconds = tuple(map(str, paths)), tally.seconds
    return replace(done[-1], rows=tally.rows, bytes=tally.bytes, seconds=seconds, files=files)


def _refuse_second(path: Path, table: str, others: Mapping[Path, str]) -> None:
    """Two tables must not share a file, nor be told apart by case, which some systems ignore."""
    for other, first in others.items():
        if str(other).lower() == str(path).lower():
            raise InputError(
                f"{first} and {table} would both be written to {path.name}",
                hint="export them one by one, under names of your own",
            )


def _one(
    connection: AnyConnection, what: str, target: Any, options: ExportOptions, tally: Tally
) -> Steps[ExportResult]:
    rows_of = yield from selected(connection, what, options)
    codec = chosen_codec(target, options)
    encoding = find_encoding(b"", options.encoding if options.encoding != AUTO else "utf-8")
    dialect = options.dialect
    text = copy_out(rows_of, dialect, encoding.server, header=options.header, quoted=options.quoted)
    before = tally.bytes
    with written(target, codec, overwrite=options.overwrite) as out:
        write = encoder(out.data, options.encoding, transcoded=encoding.transcoded)
        rows = yield from _copied(
            connection, text.as_bytes(None), write, tally, header=options.header
        )
        yield Local(out.finish)
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
    tally.rows -= int(header)
    if rows != total:
        raise TransferError(f"{rows} rows came, but the server sent {total}; nothing was exported")
    return rows
