"""Imports, exports and copies as a person reads them: before, meanwhile and at the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pgstrata.tables.dialect import Dialect
    from pgstrata.tables.results import (
        CopyPlan,
        CopyResult,
        Endpoint,
        ExportResult,
        ImportPlan,
        ImportResult,
        Progress,
    )

_NEWLINES = {"\n": "LF", "\r\n": "CRLF", "\r": "CR"}
_SHOWN = 12  # names of columns in a line


def endpoint(end: Endpoint) -> str:
    """Return one end of a transfer: where, as whom, and whether the way there is encrypted."""
    host = f"[{end.host}]" if ":" in end.host else end.host
    tls = "TLS" if end.tls else "no TLS"
    where = f"database {end.database} on {host}:{end.port}"
    return f"{where} as {end.role}, {tls}, PostgreSQL {end.server_version}"


def import_plan(plan: ImportPlan, earlier: ImportPlan | None = None) -> list[str]:
    """Return what was found out about a file; in short where all is as in the ``earlier`` one."""
    if earlier is not None and replace(plan, file=earlier.file) == earlier:
        return [f"{plan.file} -> {plan.table}: as before"]
    packed = "" if plan.compression == "none" else f"{plan.compression}, "
    header = "header" if plan.header else "no header"
    lines = [
        f"{plan.file} -> {plan.table}: {packed}{plan.encoding}, {_dialect(plan.dialect)}, {header}",
        f"  columns: {_listed(plan.columns)}",
    ]
    lines += [f"  left out: {_listed(plan.ignored)}"] if plan.ignored else []
    lines += [f"  {line}" for line in plan.ddl.splitlines()]
    return lines + [f"  doubt: {doubt}" for doubt in plan.doubts]


def import_summary(result: ImportResult, *, dry_run: bool = False) -> str:
    """Return what came of an import, in a few lines."""
    counts = [
        (result.rows_loaded, "loaded"),
        (result.rows_rejected, "rejected"),
        (result.rows_skipped, "skipped"),
    ]
    pace = _pace(result.rows_read, result.bytes, result.seconds)
    lines = [f"{result.table}: {_counted(counts)}, of {_rows(result.rows_read)} read; {pace}"]
    lines += _earlier(result)
    if result.rejects_file:
        lines.append(f"rejects: {result.rejects_file}, reasons: {result.rejects_file}.jsonl")
    return "\n".join([*lines, *_proof(result.verified, result.checksum), *_dry(dry_run)])


def export_summary(result: ExportResult) -> str:
    """Return what came of an export, in a few lines."""
    pace = _pace(result.rows, result.bytes, result.seconds)
    lines = [f"{_rows(result.rows)} exported; {pace}", *result.files]
    if not result.round_trip:
        lines.append("safe for spreadsheets: an import of it gives other texts than were exported")
    return "\n".join(lines)


def copy_plan(plan: CopyPlan) -> list[str]:
    """Return what a copy is about to do with one table."""
    lines = [
        f"{plan.source_table} -> {plan.target_table}: {plan.format}",
        f"  columns: {_listed(plan.columns)}",
    ]
    if plan.masks:
        masks = ", ".join(f"{column} by {mask}" for column, mask in plan.masks.items())
        lines.append(f"  masked: {masks}")
    lines += [f"  {line}" for line in plan.ddl.splitlines()]
    return lines + [f"  doubt: {doubt}" for doubt in plan.doubts]


def copy_summary(result: CopyResult, *, dry_run: bool = False) -> str:
    """Return what came of copying one table, in a few lines."""
    counts = [(result.rows_loaded, "loaded"), (result.rows_skipped, "skipped")]
    pace, name = _pace(result.rows_read, result.bytes, result.seconds), result.plan.target_table
    lines = [f"{name}: {_counted(counts)}, of {_rows(result.rows_read)} read; {pace}"]
    lines += _earlier(result)
    return "\n".join([*lines, *_proof("", result.checksum), *_dry(dry_run)])


def progress(now: Progress) -> str:
    """Return how far a transfer is, in one line."""
    done = size(now.bytes)
    if now.total:
        done += f" of {size(now.total)} ({100 * now.bytes // now.total} %)"
    parts = [_rows(now.rows), done]
    if now.seconds:
        parts.append(f"{now.rows / now.seconds:,.0f} rows/s")
        parts.append(f"{size(now.bytes / now.seconds)}/s")
    if now.committed:
        parts.append(f"{now.committed:,} committed")
    if now.total and now.bytes:
        parts.append(f"{_time(now.seconds * (now.total - now.bytes) / now.bytes)} left")
    return ", ".join(parts)


def size(count: float) -> str:
    """Return bytes in the unit that suits them, a thousand to the next: ``1.5 MB``."""
    if count < 1000:  # noqa: PLR2004  # the smallest unit has no name but its own
        return f"{count:.0f} bytes"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.95:  # noqa: PLR2004  # what rounds to 1000.0 is one of the next unit
            return f"{count:.1f} {unit}"
    return f"{count / 1000:.1f} TB"


def _dialect(dialect: Dialect) -> str:
    delimiter = {"\t": "tab"}.get(dialect.delimiter, dialect.delimiter)
    own = f", escape {dialect.escape}" if dialect.escape != dialect.quote else ""
    null = f", NULL is {dialect.null}" if dialect.null else ""
    newline = _NEWLINES[dialect.newline]
    return f"delimiter {delimiter}  quote {dialect.quote}{own}  {newline}{null}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _counted(counts: Iterable[tuple[int, str]]) -> str:
    (first, what), *others = counts
    said = [f"{_rows(first)} {what}", *(f"{count:,} {name}" for count, name in others if count)]
    return ", ".join(said)


def _earlier(result: ImportResult | CopyResult) -> list[str]:
    """Return what a transfer says of rows that were there before."""
    lines = []
    if result.rows_updated:
        lines.append(f"updated: {_rows(result.rows_updated)} of the loaded ones")
    if result.rows_resumed:
        lines.append(f"resumed: {_rows(result.rows_resumed)} were in from before")
    return lines


def _rows(count: int) -> str:
    return f"{count:,} row" + ("" if count == 1 else "s")


def _pace(rows: int, count: int, seconds: float) -> str:
    rate = f", {rows / seconds:,.0f} rows/s" if seconds >= 1 else ""  # else it means nothing
    return f"{size(count)} in {seconds:.1f} s{rate}"


def _proof(verified: str, checksum: str) -> list[str]:
    lines = [f"verified: {verified}"] if verified else []
    return lines + ([f"checksum: {checksum}"] if checksum else [])


def _dry(dry_run: bool) -> list[str]:  # noqa: FBT001  # one private flag
    return ["dry run: nothing was kept"] if dry_run else []


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
