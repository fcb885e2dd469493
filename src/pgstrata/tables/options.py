"""What may be asked of an import, an export and a copy: every option and its default."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, get_args

from pgstrata.errors import UsageError
from pgstrata.tables.dialect import Dialect
from pgstrata.tables.results import Mode, OnConflict
from pgstrata.tables.source import AUTO

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from pgstrata.model import Secret

_NO_COLUMN = "columns must name at least one"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """How a CSV file goes into a table. None (or "auto") means: find it out.

    The file: ``delimiter``, ``quote``, ``escape`` (one ASCII character each), ``header``,
    ``encoding`` (a name that Python knows), ``compression`` (gz, zst, xz, bz2, none), ``skip``
    (physical lines before the header), ``null`` (the unquoted text of NULL), ``empty_as_null``
    (quoted empty text is NULL too), ``datestyle`` (of ambiguous dates; else the session's),
    ``normalize_eol`` (records may end in LF or in CRLF, one so and one so).

    The columns: ``columns`` are the fields to load, by name of field or column; without a header
    they name every field in order. ``rename`` maps fields to columns. ``create`` makes the table if
    it is missing, with types inferred from the first ``sample`` records, or from all if None.

    The rows: ``mode`` append, truncate (first, in the same transaction) or replace (the old rows
    stay visible until the commit). ``on_conflict`` skip or update rows whose ``key`` (default: the
    primary key) exists. ``batch`` commits after every so many records, and ``resume`` goes on after
    the last of them; ``import_id`` names the import, else the table, the file's name and its
    columns do.
    ``rejects`` is where bad records go, at most ``max_rejects`` of them; ``overwrite`` allows to
    replace that file. ``sync_sequences`` lets the sequences of loaded columns go on behind what is
    in the table then, which no rollback undoes.

    ``verify`` counts the table before and after, reads the files once more and compares what they
    hold with what the table has gained. ``dry_run`` does it all and rolls back.
    """

    delimiter: str | None = None
    quote: str | None = None
    escape: str | None = None
    header: bool | None = None
    encoding: str = AUTO
    compression: str = AUTO
    skip: int = 0
    null: str = ""
    empty_as_null: bool = False
    datestyle: str | None = None
    normalize_eol: bool = False
    columns: Sequence[str] | None = None
    rename: Mapping[str, str] = field(default_factory=dict)
    create: bool = False
    sample: int | None = None
    mode: Mode = "append"
    on_conflict: OnConflict = "error"
    key: Sequence[str] = ()
    batch: int | None = None
    resume: bool = False
    import_id: str = ""
    rejects: str | os.PathLike[str] | None = None
    max_rejects: int = 100
    overwrite: bool = False
    sync_sequences: bool = False
    verify: bool = False
    dry_run: bool = False

    def __post_init__(self) -> None:
        for wrong, message in (
            (self.skip < 0, "skip must not be negative"),
            (self.max_rejects < 1, "max_rejects must be at least 1"),
            (self.sample is not None and self.sample < 1, "sample must be at least 1"),
            *_meetings(self),
            *_batches(self),
            (bool(self.import_id) and not self.batch, "import_id goes with batch only"),
            (self.overwrite and self.rejects is None, "overwrite goes with rejects only"),
            (any(c in self.null for c in "\r\n"), "null must not hold a newline"),
        ):
            if wrong:
                raise UsageError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """How a table or query becomes a CSV file.

    ``query``: what is exported is an SQL query, not the name of a table. ``columns`` (else all but
    generated ones, which an import could not load), ``where`` and ``order`` (SQL, without the
    keyword) choose from a table. ``quoted`` columns are always quoted. ``compression`` is told by
    the file's name
    if "auto". ``spreadsheet_safe`` puts an apostrophe before text that a spreadsheet would run as a
    formula; such a file does not come back as it was. ``overwrite`` allows to replace a file.
    """

    query: bool = False
    columns: Sequence[str] | None = None
    where: str = ""
    order: str = ""
    delimiter: str = ","
    quote: str = '"'
    escape: str | None = None
    null: str = ""
    header: bool = True
    quoted: Sequence[str] = ()
    encoding: str = AUTO
    compression: str = AUTO
    spreadsheet_safe: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.query and (self.columns or self.where or self.order):
            raise UsageError(
                "columns, where and order choose from a table: write them in the query"
            )
        if self.columns is not None and not self.columns:
            raise UsageError(_NO_COLUMN)

    @property
    def dialect(self) -> Dialect:
        """How the file is to be written."""
        return Dialect(self.delimiter, self.quote, self.escape or self.quote, self.null)


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyOptions:
    """How rows go from one server to another.

    ``target`` is the table to fill, by default that of the same name. With ``query`` what is copied
    are the rows of a query, and the target has to be named. ``columns`` and ``where`` (SQL, without
    the keyword) choose, ``masks`` maps columns to what hides them: see ``masks.MASKS``. ``salt``
    makes masks agree between copies, else it is random. ``create`` makes the table from the
    source's definition if it is missing. ``mode``, ``on_conflict``, ``key``,
    ``sync_sequences``, ``verify`` and ``dry_run`` as in ``ImportOptions``; ``verify`` compares
    checksums of both ends. ``batch`` commits after so many rows, in the order of the source's
    primary key, and ``resume`` goes on behind the last key that is committed; ``copy_id`` is what
    it goes on by, else that is what is copied from where.
    """

    target: str | None = None
    columns: Sequence[str] | None = None
    where: str = ""
    masks: Mapping[str, str] = field(default_factory=dict)
    salt: Secret | None = None
    create: bool = False
    mode: Mode = "append"
    on_conflict: OnConflict = "error"
    key: Sequence[str] = ()
    batch: int | None = None
    resume: bool = False
    copy_id: str = ""
    sync_sequences: bool = False
    verify: bool = False
    dry_run: bool = False
    query: bool = False

    def __post_init__(self) -> None:
        for wrong, message in (
            (self.query and not self.target, "the rows of a query need a table to go into (--as)"),
            *_meetings(self),
            *_batches(self),
            (bool(self.copy_id) and not self.batch, "copy_id goes with batch only"),
            (bool(self.batch) and self.query, "the rows of a query have no key to batch them by"),
        ):
            if wrong:
                raise UsageError(message)
        if self.batch and self.salt is None and any(m != "null" for m in self.masks.values()):
            raise UsageError(
                "batches with masks need a salt, or a copy that goes on would mask differently",
                hint="--salt-file names a file with a long random text",
            )
        if self.verify and (self.mode == "append" or self.on_conflict != "error"):
            raise UsageError("verify compares whole tables: it goes with mode truncate or replace")


def _meetings(options: ImportOptions | CopyOptions) -> list[tuple[bool, str]]:
    """Return what is no way to meet the rows that are there, and whether it is asked for."""
    modes, answers = get_args(Mode), get_args(OnConflict)
    answered = options.on_conflict != "error"
    return [
        (options.mode not in modes, f"mode is one of {', '.join(modes)}"),
        (options.on_conflict not in answers, f"on_conflict is one of {', '.join(answers)}"),
        (options.mode == "replace" and answered, "replace meets no conflicts"),
        (bool(options.key) and not answered, "key goes with on_conflict only"),
        (options.columns is not None and not options.columns, _NO_COLUMN),
    ]


def _batches(options: ImportOptions | CopyOptions) -> list[tuple[bool, str]]:
    """Return what batches cannot go with, and whether it is asked for."""
    batch = bool(options.batch)
    return [
        (options.batch is not None and options.batch < 1, "batch must be at least 1"),
        (options.resume and not batch, "resume goes with batch only"),
        (batch and options.mode == "replace", "replace is one transaction: no batch"),
        (batch and options.verify, "verify is one transaction: no batch"),
        (batch and options.dry_run, "a dry run commits nothing: no batch"),
    ]
