"""What the server says of the rows that it skips by itself, PostgreSQL 17 and newer."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from pgstrata.tables.locate import Complaint, Record, report, value_of
from pgstrata.tables.pieces import Lines
from pgstrata.tables.steps import Steps, query
from pgstrata.tables.strict import check_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgstrata.tables.catalog import Table
    from pgstrata.tables.job import Job
    from pgstrata.tables.records import Piece, Scanner
    from pgstrata.tables.results import Reject

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


class Skipped:
    """The records of one COPY that the server has skipped. They are looked for while it reads on,
    which takes no time then.
    """

    def __init__(self, job: Job, scanner: Scanner) -> None:
        self.notices: list[str] = []
        self._job, self._lines = job, Lines(scanner)
        self._places: list[Complaint] = []
        self._values: list[str | None] = []

    def look(self, sent: Sequence[Piece], *, all_told: bool = False) -> None:
        """Find what the notices speak of that have come, or are all that will come."""
        file, columns = self._job.file, self._job.target.columns
        self._places += [place(said, columns) for said in self.notices[len(self._places) :]]
        self._lines.find(sent, [said.line for said in self._places], all_told=all_told)
        for record in self._lines.found[len(self._values) :]:
            column = self._places[len(self._values)].column
            self._values.append(value_of(file, record, columns, column))

    def rejects(self, table: Table, sent: Sequence[Piece]) -> Steps[list[Reject]]:
        """Return what is to be reported of them."""
        if not self.notices:
            return []
        self.look(sent, all_told=True)
        check_count(self._job, len(self._places), len(self._lines.found))
        columns = [said.column for said in self._places]
        found = list(zip(self._lines.found, columns, self._values, strict=True))
        return (yield from _explained(self._job, table, self.notices, found))


def _explained(
    job: Job, table: Table, notices: Sequence[str], found: Sequence[tuple[Record, str, str | None]]
) -> Steps[list[Reject]]:
    """Ask the server about each value once more, as the notices do not say what is wrong."""
    types = {column.name: column.type for column in table.columns}
    asked = [types.get(column, "text") for _, column, _ in found]
    values = [value for *_, value in found]
    reasons = yield from query(job.connection, _REASONS, values, asked)
    return [
        report(job.file, record, sqlstate or "22P02", message or notice, column, value)
        for notice, (record, column, value), (sqlstate, message) in zip(
            notices, found, reasons, strict=True
        )
    ]


@lru_cache(maxsize=8)
def _quoted(columns: tuple[str, ...]) -> re.Pattern[str]:
    """Return what finds the first of these names between quotes, of those there the longest."""
    names = "|".join(re.escape(name) for name in sorted(columns, key=len, reverse=True))
    return re.compile(rf'["„«»“]\s?({names})\s?["“»«”]')
