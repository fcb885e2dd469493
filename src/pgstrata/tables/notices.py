"""What the server says of the rows that it skips by itself, PostgreSQL 17 and newer."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from pgstrata.tables.locate import Complaint, Record, value_of
from pgstrata.tables.results import Reject
from pgstrata.tables.steps import Steps, query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgstrata.tables.catalog import Table
    from pgstrata.tables.job import Job

_REASONS = """
SELECT e.sql_error_code, e.message
FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS v(value, type, place)
CROSS JOIN LATERAL pg_catalog.pg_input_error_info(v.value, v.type) AS e ORDER BY v.place
"""
_LINE = re.compile(r"\d+")


def place(notice: str, columns: tuple[str, ...]) -> Complaint:
    """Read a notice: ``… at line 5 for column "x": "abc"``, in any language."""
    line, column = _LINE.search(notice), _quoted(columns).search(notice)
    return Complaint(int(line[0]) if line else 0, column[1] if column else "")


def explained(
    job: Job, table: Table, notices: Sequence[str], rows: Sequence[tuple[Record, str]]
) -> Steps[list[Reject]]:
    """Return what is to be reported of skipped records, given with the column that is wrong.

    The notices do not say why, so the server is asked about each value again.
    """
    columns, file = job.target.columns, job.file
    values = [value_of(file, record, columns, column) for record, column in rows]
    types = {column.name: column.type for column in table.columns}
    asked = [types.get(column, "text") for _, column in rows]
    reasons = yield from query(job.connection, _REASONS, values, asked)
    return [
        Reject(
            file=file.name,
            line=record.line,
            record=record.number,
            offset=record.offset,
            sqlstate=sqlstate or "22P02",
            message=message or notice,
            column=column,
            value=value,
            data=record.data,
        )
        for notice, (record, column), value, (sqlstate, message) in zip(
            notices, rows, values, reasons, strict=True
        )
    ]


@lru_cache(maxsize=8)
def _quoted(columns: tuple[str, ...]) -> re.Pattern[str]:
    """Return what finds the first of these names between quotes, of those there the longest."""
    names = "|".join(re.escape(name) for name in sorted(columns, key=len, reverse=True))
    return re.compile(rf'["„«»“]\s?({names})\s?["“»«”]')
