"""What a transfer reports: before it starts, while it runs, and at its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pgstrata.tables.errors import shorten

if TYPE_CHECKING:
    from pgstrata.tables.dialect import Dialect

Mode: TypeAlias = Literal["append", "truncate", "replace"]
OnConflict: TypeAlias = Literal["error", "skip", "update"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a transfer is. ``total`` is None where it cannot be known, e.g. for a pipe.

    ``bytes`` is how much of the file was read as it lies on disk (so before decompression), and
    ``total`` its size; while exporting and copying it is what was received, and there is no total.
    ``committed`` rows stay whatever happens next; it is 0 while all is one transaction.
    """

    rows: int
    bytes: int
    total: int | None
    seconds: float
    committed: int = 0


OnProgress: TypeAlias = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that was not loaded: where it is, what is wrong, and its bytes as they were.

    ``record`` counts data records from 1, ``line`` physical lines of the file from 1 (the first of
    the record), ``offset`` bytes from 0 after decompression (and after UTF-16 became UTF-8).
    """

    file: str
    line: int
    record: int
    offset: int
    sqlstate: str
    message: str
    column: str = ""
    value: str | None = None
    data: bytes = field(default=b"", repr=False)

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: record {self.record}"
        column = f', column "{self.column}"' if self.column else ""
        value = f", value {shorten(self.value)!r}" if self.value is not None else ""
        return f"{place}{column}{value}: {self.message}"

    def as_json(self) -> dict[str, Any]:
        """Return everything but the bytes."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "data"}


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What was found out about one file before its first row is sent, and what is doubtful."""

    file: str
    table: str
    columns: tuple[str, ...]
    ignored: tuple[str, ...]
    compression: str
    encoding: str
    dialect: Dialect
    header: bool
    ddl: str = ""
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportResult:
    """rows_read == rows_loaded + rows_skipped + rows_rejected, always.

    ``rows_skipped`` rows met a conflict and were left out (or, while updating, changed nothing);
    ``rows_updated`` of the loaded rows replaced an existing one. ``rows_resumed`` were committed by
    an earlier run and are not in any other number. ``committed`` is False for a dry run, and inside
    a transaction of the caller. ``checksum`` is the table's after loading, and ``verified`` what
    was compared, if that was asked for.
    """

    table: str
    files: tuple[str, ...]
    rows_read: int
    rows_loaded: int
    rows_rejected: int
    bytes: int
    seconds: float
    rows_skipped: int = 0
    rows_updated: int = 0
    rows_resumed: int = 0
    committed: bool = True
    rejects_file: str = ""
    checksum: str = ""
    verified: str = ""
    plans: tuple[ImportPlan, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return plain numbers and texts."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ExportResult:
    """``bytes`` before compression. ``files`` are the paths written, in order."""

    rows: int
    bytes: int
    seconds: float
    files: tuple[str, ...]
    compression: str = "none"
    round_trip: bool = True

    def as_json(self) -> dict[str, Any]:
        """Return plain numbers and texts."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One end of a copy, as a person wants to see it before data moves."""

    host: str
    port: int
    database: str
    role: str
    tls: bool
    server_version: int


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """What a copy is about to do. ``masks`` maps columns to what hides them."""

    source: Endpoint
    target: Endpoint
    source_table: str
    target_table: str
    columns: tuple[str, ...]
    format: Literal["binary", "text"]
    masks: dict[str, str]
    ddl: str = ""
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CopyResult:
    """``rows_skipped``, ``rows_updated`` and ``rows_resumed`` as in ``ImportResult``; ``bytes`` as
    sent.
    """

    plan: CopyPlan
    rows_read: int
    rows_loaded: int
    bytes: int
    seconds: float
    rows_skipped: int = 0
    rows_updated: int = 0
    rows_resumed: int = 0
    committed: bool = True
    checksum: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return plain numbers and texts."""
        return asdict(self)
