"""Proof that a table has gained exactly what the files hold.

The files are read a second time, into temporary tables of the same types that nothing but COPY
fills, and digests are compared: that of the files is what the table's has grown by. So a trigger or
rule that changes, adds or drops rows is found, and a block that was lost. Digests are sums, so the
order of rows, and rows that were in the table before, do not matter.
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from pgstrata.tables import strict
from pgstrata.tables.errors import VerificationError
from pgstrata.tables.header import IGNORED
from pgstrata.tables.job import Job
from pgstrata.tables.locate import split_block
from pgstrata.tables.modes import Merge, drop_target, open_target
from pgstrata.tables.prepare import Opened, open_file
from pgstrata.tables.records import Scanner
from pgstrata.tables.steps import Local, Steps
from pgstrata.tables.verify import Digest, checksum, count_rows, digest, verify_count

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from pgstrata.tables.catalog import Table
    from pgstrata.tables.importing import Fitted, Run
    from pgstrata.tables.records import Block

_STAGED = Merge(mode="replace")  # only for its staging table


class Before(NamedTuple):
    """What the table held. ``unread`` says why only rows can be counted, or is empty."""

    rows: int
    digest: Digest
    columns: tuple[str, ...]
    unread: str


def proof_of(run: Run, table: Table) -> Steps[Before]:
    """Return what the table holds before the first row is loaded."""
    unread = _why_not(run)
    columns = tuple(c.name for c in table.columns if c.name in run.files[0].columns)
    if run.options.mode != "append":
        return Before(0, (0, 0), columns, unread)
    rows = yield from count_rows(run.connection, table)
    held = (0, 0) if unread else (yield from digest(run.connection, table.identifier, columns))
    return Before(rows, held, columns, unread)


def prove(run: Run, table: Table, before: Before) -> Steps[None]:
    """Raise ``VerificationError`` unless the table has gained what was loaded."""
    most = before.rows + run.loaded - run.updated
    # A partitioned table does not tell which rows were updated; see ``modes``.
    unsure = run.options.on_conflict == "update" and table.kind != "r"
    yield from verify_count(run.connection, table, before.rows if unsure else most, most)
    if before.unread:
        run.checksum = yield from checksum(run.connection, table)
        run.verified = f"counts; no checksums, as {before.unread}"
        return
    count, total = yield from digest(run.connection, table.identifier, before.columns)
    whole = len(before.columns) == len(table.columns)
    run.checksum = f"{count}:{total}" if whole else (yield from checksum(run.connection, table))
    gained = (count - before.digest[0], total - before.digest[1])
    held = (0, 0)
    for fitted in run.files:
        more = yield from _read_again(run, table, fitted, before.columns)
        held = (held[0] + more[0], held[1] + more[1])
    if gained != held:
        raise VerificationError(
            f"the checksum of {table} has grown by {gained[0]}:{gained[1]}, that of the file is"
            f" {held[0]}:{held[1]}; nothing was kept",
            hint="a trigger changes values, or another session rows",
        )
    run.verified = "counts and checksums of file and table"


def _why_not(run: Run) -> str:
    if run.options.on_conflict != "error":
        return "rows that exist were merged"
    if not all(fitted.file.repeatable for fitted in run.files):
        return "a stream cannot be read twice"
    if len({frozenset(fitted.columns) - {IGNORED} for fitted in run.files}) > 1:
        return "the files have different columns"
    return ""


def _read_again(run: Run, table: Table, fitted: Fitted, columns: tuple[str, ...]) -> Steps[Digest]:
    """Return the digest of what a file holds but for its rejects."""
    names = [column.name for column in table.columns]
    file: Opened = yield Local(partial(open_file, fitted.file.source, run.options, names))
    with closing(file.input):
        if fitted.plan.header:
            file.take_header()
        target = yield from open_target(run.connection, table, fitted.columns, _STAGED)
        job = Job(run.connection, target, file, run.options.empty_as_null)
        left_out = run.rejected.get(id(fitted.file), set())
        blocks = _without(left_out, file.blocks(), job.scanner) if left_out else file.blocks()
        yield from strict.load(job, blocks, lambda _block: None)
    held = yield from digest(run.connection, target.relation, columns)
    yield from drop_target(run.connection, target)
    return held


def _without(
    rejected: AbstractSet[int], blocks: Iterator[Block], scanner: Scanner
) -> Iterator[Block]:
    """Yield the blocks without some records."""
    for block in blocks:
        if rejected.isdisjoint(range(block.record, block.record + block.records)):
            yield block
            continue
        kept = [r.data for r in split_block(block, scanner) if r.number not in rejected]
        if kept:
            yield block._replace(data=b"".join(kept), records=len(kept))
