"""CSV data into tables, out of them, and from server to server."""

from __future__ import annotations

from pgstrata.tables.api import (
    commit_status,
    commit_status_async,
    copy_table,
    copy_table_async,
    copy_tables,
    copy_tables_async,
    export_csv,
    export_csv_async,
    export_schema,
    export_schema_async,
    import_csv,
    import_csv_async,
)
from pgstrata.tables.errors import (
    InputError,
    OutcomeUnknownError,
    PartialTransferError,
    RowError,
    TooManyRejectsError,
    TransferError,
    VerificationError,
)
from pgstrata.tables.options import CopyOptions, ExportOptions, ImportOptions
from pgstrata.tables.results import (
    CopyPlan,
    CopyResult,
    Endpoint,
    ExportResult,
    ImportPlan,
    ImportResult,
    Progress,
    Reject,
)

__all__ = [
    "CopyOptions",
    "CopyPlan",
    "CopyResult",
    "Endpoint",
    "ExportOptions",
    "ExportResult",
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
    "commit_status",
    "commit_status_async",
    "copy_table",
    "copy_table_async",
    "copy_tables",
    "copy_tables_async",
    "export_csv",
    "export_csv_async",
    "export_schema",
    "export_schema_async",
    "import_csv",
    "import_csv_async",
]
