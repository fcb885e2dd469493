"""The functions to call: each a thin shell, blocking or asynchronous, over the same steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgstrata.tables import importing
from pgstrata.tables.job import Tally
from pgstrata.tables.options import ImportOptions
from pgstrata.tables.steps import run, run_async

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import psycopg

    from pgstrata.tables.results import ImportPlan, ImportResult, OnProgress
    from pgstrata.tables.source import Source


def import_csv(
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

    All files are one transaction, committed when all is well; inside a transaction of the caller they
    are a savepoint, and the caller commits. With ``options.batch`` every batch is committed.

    ``table`` is looked up as SQL does it: ``schema.table`` or by the search path, folded to lower case
    where it is not in double quotes. ``on_plan`` is called for each file before the first row is sent,
    ``progress`` about every 0.1 s and at the end. ``workers`` are further connections to the same
    database that load at the same time.

    Raises ``InputError`` if the file does not fit (nothing was sent), ``RowError`` for a bad row,
    ``TooManyRejectsError``, ``VerificationError`` or another ``TransferError`` (nothing was kept),
    ``PartialTransferError`` or ``OutcomeUnknownError`` (the message says what is in the table).
    """
    tally = Tally(progress)
    return run(importing.steps(connection, table, source, options, tally, on_plan, workers))


async def import_csv_async(
    connection: psycopg.AsyncConnection[Any],
    table: str,
    source: Source | Sequence[Source],
    options: ImportOptions = ImportOptions(),  # noqa: B008  # frozen
    *,
    progress: OnProgress | None = None,
    on_plan: Callable[[ImportPlan], None] | None = None,
    workers: Sequence[psycopg.AsyncConnection[Any]] = (),
) -> ImportResult:
    """Load CSV files into a table; see ``import_csv``."""
    tally = Tally(progress)
    steps = importing.steps(connection, table, source, options, tally, on_plan, workers)
    return await run_async(steps)
