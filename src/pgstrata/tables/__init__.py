"""CSV data into tables, out of them, and from server to server."""

from __future__ import annotations

from pgstrata.tables.api import import_csv, import_csv_async
from pgstrata.tables.errors import (
    InputError,
    OutcomeUnknownError,
    PartialTransferError,
    RowError,
    TooManyRejectsError,
    TransferError,
    VerificationError,
)
from pgstrata.tables.options import ImportOptions
from pgstrata.tables.results import ImportPlan, ImportResult, Progress, Reject

__all__ = [
    "ImportOptions",
    "ImportPlan",
    "ImportResult",
    "InputError",
    "OutcomeUnknownError",
    "PartialTransferError",
    "Progress",
    "Reject",
    "RowError",
    "TooManyRejectsError",
    "TransferError",
    "VerificationError",
    "import_csv",
    "import_csv_async",
]
