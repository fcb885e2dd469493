"""From CSV files into a table: the order of things, as one transaction."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, cast

from pgstrata.errors import UsageError
from pgstrata.tables import sequences
from pgstrata.tables.catalog import Table, find_table, get_table
from pgstrata.tables.errors import InputError, TransferError
from pgstrata.tables.header import IGNORED, is_header, matched, positional
from pgstrata.tables.job import Tally
from pgstrata.tables.load import load_file
from pgstrata.tables.modes import Merged, merge_for
from pgstrata.tables.prepare import Opened, open_file
from pgstrata.tables.proof import proof_of, prove
from pgstrata.tables.rejectfile import RejectFile
from pgstrata.tables.replay import Replay, read_twice
from pgstrata.tables.results import ImportPlan, ImportResult, Reject
from pgstrata.tables.session import WRITING, in_transaction, transaction
from pgstrata.tables.source import stored
from pgstrata.tables.steps import AnyConnection, Local, Steps, query

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pgstrata.tables.options import ImportOptions
    from pgstrata.tables.source import Source


class Fitted(NamedTuple):
    """An opened file and the column of each of its fields."""

    file: Opened
    columns: tuple[str, ...]
    plan: ImportPlan


@dataclass(slots=True)
class Run:
    """One import while it runs, and what it has counted."""

    connection: AnyConnection
    name: str
    sources: Sequence[Source | Replay]
    options: ImportOptions
    tally: Tally
    on_plan: Callable[[ImportPlan], None] | None = None
    files: list[Fitted] = field(default_factory=list)
    rejects: RejectFile | None = None
    ddl: str = ""
    emptied: bool = False
    read: int = 0
    loaded: int = 0
    skipped: int = 0
    updated: int = 0
    resumed: int = 0
    checksum: str = ""
    verified: str = ""
    rejected: dict[int, set[int]] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, str]:
        """The session settings of this import. With rejects notices tell which rows are skipped."""
        chosen = {"DateStyle": self.options.datestyle} if self.options.datestyle else {}
        heard = {"client_min_messages": "notice"} if self.options.rejects is not None else {}
        return {**WRITING, **heard, **chosen}

    def count(self, read: int, merged: Merged) -> None:
        """Add what became of some records."""
        self.read += read
        self.loaded += merged.loaded
        self.skipped += merged.skipped
        self.updated += merged.updated

    def reject(self, rejects: list[Reject], file: Opened) -> None:
        """Write bad records to their file, and remember which they are, to verify without them."""
        assert self.rejects is not None
        self.rejects.add(rejects, file)
        if self.options.verify:
            known = self.rejected.setdefault(id(file), set())
            known.update(bad.record for bad in rejects)

    def result(self, *, committed: bool) -> ImportResult:
        """Return the numbers. Raises ``TransferError`` if a row is missing in them."""
        rejected = self.rejects.count - self.rejects.earlier if self.rejects else 0
        if self.read != self.loaded + self.skipped + rejected:
            raise TransferError(
                f"{self.read} records were read, but {self.loaded} loaded, {self.skipped} skipped"
                f" and {rejected} rejected; nothing was kept"
            )
        self.tally.tell()
        return ImportResult(
            table=self.name,
            files=tuple(fitted.file.name for fitted in self.files),
            rows_read=self.read,
            rows_loaded=self.loaded,
            rows_rejected=rejected,
            rows_skipped=self.skipped,
            rows_updated=self.updated,
            rows_resumed=self.resumed,
            bytes=self.tally.bytes,
            seconds=self.tally.seconds,
            committed=committed,
            rejects_file=str(self.rejects.path) if self.rejects and rejected else "",
            checksum=self.checksum,
            verified=self.verified,
            plans=tuple(fitted.plan for fitted in self.files),
        )


def new_run(  # what the caller gave, as it was given
    connection: AnyConnection,
    table: str,
    source: Source | Sequence[Source],
    options: ImportOptions,
    tally: Tally,
    on_plan: Callable[[ImportPlan], None] | None,
) -> Run:
    """Return an import about to begin.

    Raises ``UsageError`` if there is no file, ``InputError`` if there can be no reject file.
    """
    one = isinstance(source, (str, os.PathLike)) or hasattr(source, "read")
    sources = [cast("Source", source)] if one else list(cast("Sequence[Source]", source))
    if not sources:
        raise UsageError("there is no file to import")
    kept = [_kept(source, options) for source in sources]
    run = Run(connection, table, kept, options, tally, on_plan)
    if options.rejects is not None:
        run.rejects = RejectFile(
            options.rejects,
            options.max_rejects,
            overwrite=options.overwrite,
            resumed=options.resume,
        )
        run.rejects.refuse_inputs(sources)
    return run


def _kept(source: Source, options: ImportOptions) -> Source | Replay:
    return Replay(source) if read_twice(options) and not stored(source) else source


def at_once(run: Run) -> Steps[ImportResult]:
    """Import everything in one transaction."""
    keep = not run.options.dry_run
    nested = in_transaction(run.connection)
    try:
        body = _whole(run, nested=nested)
        result = yield from transaction(run.connection, body, run.settings, keep=keep)
    except BaseException as error:
        if run.rejects:
            (run.rejects.close if run.rejects.kept_after(error) else run.rejects.discard)()
        raise
    finally:
        close_files(run)
    if run.rejects:
        run.rejects.close()
    return result


def _whole(run: Run, *, nested: bool) -> Steps[ImportResult]:
    table = yield from ready_table(run)
    yield from fit_files(run, table)
    options = run.options
    merge = merge_for(table, options.mode, options.on_conflict, options.key)
    before = (yield from proof_of(run, table)) if options.verify else None
    for fitted in run.files:
        yield from load_file(run, table, merge, fitted, fitted.file.blocks())
        merge = merge._replace(mode="append")
    if before is not None:
        yield from prove(run, table, before)
    yield from follow_sequences(run, run.connection, table)
    if options.dry_run and not nested:  # else only the commit would find what is deferred
        yield from query(run.connection, "SET CONSTRAINTS ALL IMMEDIATE")
    result = run.result(committed=not options.dry_run and not nested)
    if run.rejects:
        yield Local(run.rejects.seal)
    return result


def follow_sequences(run: Run, connection: AnyConnection, table: Table) -> Steps[None]:
    """Let the sequences of what was loaded follow, if they are to. It has to come last."""
    if run.options.sync_sequences and not run.options.dry_run:
        loaded = {column for fitted in run.files for column in fitted.columns}
        yield from sequences.follow(connection, table, loaded)


def ready_table(run: Run) -> Steps[Table]:
    """Return the table, made from the first file if it is missing and may be."""
    if run.options.create:
        from pgstrata.tables.infer import create_table

        table = yield from find_table(run.connection, run.name)
        if table is None:
            made = yield from create_table(run.connection, run.name, run.sources[0], run.options)
            run.ddl = made.statement
            if made.header and len(run.sources) == 1:  # of several each is looked at by itself
                run.options = replace(run.options, header=True)
    return (yield from get_table(run.connection, run.name, advice="--create makes it for the file"))


def fit_files(run: Run, table: Table) -> Steps[None]:
    """Open all files and match their columns before the first row of any is sent."""
    for source in run.sources:
        fitted = yield Local(partial(_fit, run, table, source))
        run.files.append(fitted)
        if run.on_plan:
            run.on_plan(fitted.plan)
    sizes = [fitted.file.input.size for fitted in run.files]
    run.tally.total = None if None in sizes else sum(size or 0 for size in sizes)
    if run.rejects:
        _refuse_mixture(run.files)


def _refuse_mixture(files: Sequence[Fitted]) -> None:
    """Raise ``InputError`` for files whose bad records could not be read again as one file."""
    for fitted in files[1:]:
        if _form(fitted.file) != _form(files[0].file):
            raise InputError(
                f"{files[0].file.name} and {fitted.file.name} differ in header, dialect or"
                " encoding, so one file of rejects cannot hold records of both",
                hint="import them one after the other, each with rejects of its own",
            )


def _form(file: Opened) -> tuple[object, ...]:
    return file.preamble, file.dialect, file.encoding.name


def close_files(run: Run) -> None:
    """Close what was opened."""
    for fitted in run.files:
        fitted.file.input.close()
    for source in run.sources:
        if isinstance(source, Replay):
            source.close()


def _fit(run: Run, table: Table, source: Source | Replay) -> Fitted:
    file = open_file(source, run.options, [c.name for c in table.columns])
    try:
        return _fit_opened(run, table, file)
    except BaseException:
        file.input.close()
        raise


def _fit_opened(run: Run, table: Table, file: Opened) -> Fitted:
    options = run.options
    header, doubt = is_header(file.first, table) if options.header is None else (options.header, "")
    if header:
        names = [field or "" for field in file.first]
        columns = matched(names, table, renamed=options.rename, only=options.columns)
        file.take_header()
    else:
        names = []
        columns = positional(len(file.first), table, options.columns)
    lag = () if options.sync_sequences else sequences.doubts(table, columns)
    plan = ImportPlan(
        file=file.name,
        table=str(table),
        columns=tuple(c for c in columns if c != IGNORED),
        ignored=tuple(n for n, c in zip(names, columns, strict=False) if c == IGNORED),
        compression=file.input.compression,
        encoding=file.encoding.name,
        dialect=file.dialect,
        header=header,
        ddl=run.ddl,
        doubts=tuple(d for d in (*file.doubts, doubt, *lag) if d),
    )
    return Fitted(file, columns, plan)
