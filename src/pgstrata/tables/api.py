"""The functions to call: each a thin shell, blocking or asynchronous, over the same steps.

What only one of them needs is imported when it is called: a process that exports a small table
spends more time on imports than on rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgstrata.tables.catalog import server_version
from pgstrata.tables.job import Tally
from pgstrata.tables.options import CopyOptions, ExportOptions, ImportOptions
from pgstrata.tables.session import commit_status_steps
from pgstrata.tables.steps import AnyConnection, Steps, run, run_async

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence
    from typing import IO

    import psycopg

    from pgstrata.tables.results import (
        CopyPlan,
        CopyResult,
        ExportResult,
        ImportPlan,
        ImportResult,
        OnProgress,
    )
    from pgstrata.tables.source import Source

    Target = str | os.PathLike[str] | IO[bytes]


def import_csv(  # three callbacks and helpers by keyword
    connection: psycopg.Connection[Any],
    table: str,
    source: Source | Sequence[Source],
    options: ImportOptions = ImportOptions(),  # noqa: B008  # frozen
    *,
    progress: OnProgress | None = None,
    on_plan: Callable[[ImportPlan], None] | None = None,
    workers: Sequence[psycopg.Connection[Any]] = (),
) -> ImportResult:
    """Load CSV files, paths or binary streams, into a table.

    All files are one transaction, committed when all is well; inside a transaction of the caller
    they are a savepoint, and the caller commits. With ``options.batch`` every batch is committed.

    ``table`` is looked up as SQL does it: ``schema.table`` or by the search path, folded to lower
    case where it is not in double quotes. ``on_plan`` is called for each file before the first row
    is sent, ``progress`` about every 0.1 s and at the end. ``workers`` are further connections to
    the same database that load at the same time.

    Raises ``InputError`` if the file does not fit (nothing was kept), ``RowError`` for a bad row,
    ``TooManyRejectsError``, ``VerificationError`` or another ``TransferError`` (nothing was kept),
    ``PartialTransferError`` or ``OutcomeUnknownError`` (the message says what is in the table).
    """
    return run(_imported(connection, table, source, options, Tally(progress), on_plan, workers))


async def import_csv_async(  # three callbacks and helpers by keyword
    connection: psycopg.AsyncConnection[Any],
    table: str,
    source: Source | Sequence[Source],
    options: ImportOptions = ImportOptions(),  # noqa: B008  # frozen
    *,
    progress: OnProgress | None = None,
    on_plan: Callable[[ImportPlan], None] | None = None,
    workers: Sequence[psycopg.AsyncConnection[Any]] = (),
) -> ImportResult:
    """Load CSV files into a table; see ``import_csv``.

    A ``CancelledError`` says that nothing was kept, but for batches that were committed before. If
    the server was committing and has been faster, it is an ``OutcomeUnknownError``, whose message
    says that all is in, or with ``workers`` also a ``PartialTransferError``.
    """
    steps = _imported(connection, table, source, options, Tally(progress), on_plan, workers)
    return await run_async(steps)


def export_csv(
    connection: psycopg.Connection[Any],
    what: str,
    target: Target,
    options: ExportOptions = ExportOptions(),  # noqa: B008  # frozen
    *,
    progress: OnProgress | None = None,
) -> ExportResult:
    """Write a table, or the rows of a query, into a CSV file or a binary stream.

    ``what`` is the name of a table, a view or the like, or with ``options.query`` an SQL query. A
    path gets its name only when the file is complete, and is not overwritten unasked; a stream is
    written to and left open. Outside a transaction of the caller it reads in a read-only one of its
    own.

    Raises ``InputError`` if there is no such table or the file exists, ``TransferError`` if the
    server or the disk said no: then there is no file. A ``BrokenPipeError`` of a stream, whose
    reader has gone, is raised as it is.
    """
    from pgstrata.tables.exporting import export_steps

    return run(export_steps(connection, what, target, options, Tally(progress)))


async def export_csv_async(
    connection: psycopg.AsyncConnection[Any],
    what: str,
    target: Target,
    options: ExportOptions = ExportOptions(),  # noqa: B008  # frozen
    *,
    progress: OnProgress | None = None,
) -> ExportResult:
    """Write a table or query into a CSV file; see ``export_csv``.

    A ``CancelledError`` says that there is no file, and comes when nothing is written any more.
    If all was done already, it is an ``OutcomeUnknownError`` that says so.
    """
    from pgstrata.tables.exporting import export_steps

    return await run_async(export_steps(connection, what, target, options, Tally(progress)))


def export_schema(
    connection: psycopg.Connection[Any],
    schema: str,
    folder: str | os.PathLike[str],
    options: ExportOptions = ExportOptions(),  # noqa: B008  # frozen
    *,
    progress: OnProgress | None = None,
) -> ExportResult:
    """Write all tables of a schema into a folder, one file each, all of the same moment.

    The files are named ``schema.table.csv``. Raises as ``export_csv`` does; files that are complete
    stay.
    """
    from pgstrata.tables.exporting import export_all_steps

    return run(export_all_steps(connection, schema, Path(folder), options, Tally(progress)))


async def export_schema_async(
    connection: psycopg.AsyncConnection[Any],
    schema: str,
    folder: str | os.PathLike[str],
    options: ExportOptions = ExportOptions(),  # noqa: B008  # frozen
    *,
    progress: OnProgress | None = None,
) -> ExportResult:
    """Write all tables of a schema into a folder; see ``export_schema``."""
    from pgstrata.tables.exporting import export_all_steps

    steps = export_all_steps(connection, schema, Path(folder), options, Tally(progress))
    return await run_async(steps)


def copy_table(  # three callbacks and helpers by keyword
    source: psycopg.Connection[Any],
    target: psycopg.Connection[Any],
    table: str,
    options: CopyOptions = CopyOptions(),  # noqa: B008  # frozen
    *,
    progress: OnProgress | None = None,
    on_plan: Callable[[CopyPlan], None] | None = None,
) -> CopyResult:
    """Copy a table from one server to another, in constant memory.

    The target's side is one transaction, committed when all is well, or a savepoint inside one of
    the caller, who then commits; the source is only read. ``on_plan`` is called with both ends
    before any row moves; what it raises stops the copy.

    Raises ``InputError`` if the tables do not fit or are the same, ``VerificationError``,
    ``OutcomeUnknownError`` or another ``TransferError``, after which nothing was kept.
    """
    from pgstrata.tables.copying import copy_steps
    from pgstrata.tables.copyplan import Copy

    return run(copy_steps(Copy(source, target, table, options, Tally(progress), on_plan)))


async def copy_table_async(  # three callbacks and helpers by keyword
    source: psycopg.AsyncConnection[Any],
    target: psycopg.AsyncConnection[Any],
    table: str,
    options: CopyOptions = CopyOptions(),  # noqa: B008  # frozen
    *,
    progress: OnProgress | None = None,
    on_plan: Callable[[CopyPlan], None] | None = None,
) -> CopyResult:
    """Copy a table from one server to another; see ``copy_table``.

    A ``CancelledError`` says that nothing was kept, but for batches that were committed before. If
    the server was committing and has been faster, it is an ``OutcomeUnknownError``, whose message
    says that all is in.
    """
    from pgstrata.tables.copying import copy_steps
    from pgstrata.tables.copyplan import Copy

    copy = Copy(source, target, table, options, Tally(progress), on_plan)
    return await run_async(copy_steps(copy))


def copy_tables(
    source: psycopg.Connection[Any],
    target: psycopg.Connection[Any],
    tables: Mapping[str, CopyOptions],
    *,
    progress: OnProgress | None = None,
    on_plan: Callable[[CopyPlan], None] | None = None,
) -> tuple[CopyResult, ...]:
    """Copy tables, each with its options, in their order: all or nothing, and as of one moment.

    See ``copy_table``. They are dry runs all, or none of them is.
    """
    from pgstrata.tables.copying import copy_all_steps

    return run(copy_all_steps(source, target, tables, progress, on_plan))


async def copy_tables_async(
    source: psycopg.AsyncConnection[Any],
    target: psycopg.AsyncConnection[Any],
    tables: Mapping[str, CopyOptions],
    *,
    progress: OnProgress | None = None,
    on_plan: Callable[[CopyPlan], None] | None = None,
) -> tuple[CopyResult, ...]:
    """Copy several tables; see ``copy_tables``, and ``copy_table_async`` for a cancellation."""
    from pgstrata.tables.copying import copy_all_steps

    return await run_async(copy_all_steps(source, target, tables, progress, on_plan))


def commit_status(connection: psycopg.Connection[Any], xid: str) -> str | None:
    """Return what became of the transaction of an ``OutcomeUnknownError``.

    ``committed``, ``aborted``, ``in progress``, or None if it is too long ago to be known.
    """
    return run(commit_status_steps(connection, xid))


async def commit_status_async(connection: psycopg.AsyncConnection[Any], xid: str) -> str | None:
    """Return what became of a transaction; see ``commit_status``."""
    return await run_async(commit_status_steps(connection, xid))


def _imported(  # what the caller gave, as it was given
    connection: AnyConnection,
    table: str,
    source: Source | Sequence[Source],
    options: ImportOptions,
    tally: Tally,
    on_plan: Callable[[ImportPlan], None] | None,
    workers: Sequence[AnyConnection],
) -> Steps[ImportResult]:
    from pgstrata.tables.importing import at_once, new_run

    started = new_run(connection, table, source, options, tally, on_plan)
    server_version(connection)
    if workers:
        from pgstrata.tables.parallel import together

        return together(started, workers)
    if options.batch:
        from pgstrata.tables.batches import in_batches

        return in_batches(started)
    return at_once(started)
