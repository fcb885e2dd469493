"""One file into the table: all of it, or with its bad rows kept apart."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pgstrata.tables import strict
from pgstrata.tables.job import Job
from pgstrata.tables.locate import reject, row_error
from pgstrata.tables.modes import (
    Merge,
    Merged,
    all_moved,
    close_target,
    drop_target,
    open_target,
    refuse_unseen,
)
from pgstrata.tables.steps import Local, Steps

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from pgstrata.tables.catalog import Table
    from pgstrata.tables.importing import Fitted, Run
    from pgstrata.tables.locate import Record
    from pgstrata.tables.records import Block
    from pgstrata.tables.refusals import Refused
    from pgstrata.tables.results import Reject


def load_file(
    run: Run, table: Table, merge: Merge, fitted: Fitted, blocks: Iterator[Block]
) -> Steps[int]:
    """Load blocks of a file; return how many records they were. Nothing is committed."""
    if run.rejects:
        return (yield from _tolerantly(run, table, merge, fitted, blocks))
    job = yield from _opened(run, table, merge, fitted)
    start: list[Block] = []
    read = yield from strict.load(job, _noted(blocks, start), teller(run, fitted))
    run.count(read, (yield from _closed(run, job, table, merge, start, (), read)))
    return read


def _opened(run: Run, table: Table, merge: Merge, fitted: Fitted) -> Steps[Job]:
    """Make ready to load a file, of which a row that is staged can be found again."""
    numbered = merge.staged(fitted.columns) and fitted.file.repeatable
    target = yield from open_target(run.connection, table, fitted.columns, merge, numbered=numbered)
    return Job(run.connection, target, fitted.file, run.options.empty_as_null)


def teller(run: Run, fitted: Fitted) -> Callable[[Block], None]:
    """Return what is to be called for each block of a file that is loaded."""
    others = sum(other.file.input.position() for other in run.files if other is not fitted)

    def told(block: Block) -> None:
        run.tally.add(block.records, others + fitted.file.input.position())

    return told


def _tolerantly(
    run: Run, table: Table, merge: Merge, fitted: Fitted, blocks: Iterator[Block]
) -> Steps[int]:
    from pgstrata.tables import tolerant
    from pgstrata.tables.deferral import check_at_once, put_off_again

    job = yield from _opened(run, table, merge, fitted)
    constraints = yield from check_at_once(run.connection, table)
    start: list[Block] = []
    bad: set[int] = set()

    def keep(rejects: list[Reject]) -> None:
        bad.update(one.record for one in rejects)
        run.reject(rejects, fitted.file)

    assert run.rejects is not None
    read, loaded = yield from tolerant.load(
        job, table, _noted(blocks, start), keep, teller(run, fitted), run.rejects.room
    )
    merged = yield from _closed(run, job, table, merge, start, bad, loaded)
    yield from put_off_again(run.connection, constraints)
    run.count(read, merged)
    return read


def _noted(blocks: Iterator[Block], start: list[Block]) -> Iterator[Block]:
    """Yield blocks, and note where the first one is."""
    for block in blocks:
        if not start:
            start.append(block._replace(data=b""))
        yield block


def _closed(  # what is known of the rows that are staged
    run: Run,
    job: Job,
    table: Table,
    merge: Merge,
    start: list[Block],
    bad: Collection[int],
    staged: int,
) -> Steps[Merged]:
    """Move what is staged into the table, and reject the rows that it refuses.

    Raises ``RowError`` for the first of them if none may be rejected.
    """
    if not job.target.number or not start:
        return (yield from close_target(job.connection, table, job.target, merge, staged))
    from pgstrata.tables.hierarchy import own_keys
    from pgstrata.tables.refusals import move_rows

    connection, target = job.connection, job.target
    keys = yield from own_keys(connection, table)
    room = run.rejects.room if run.rejects else 0
    merged, refused = yield from move_rows(connection, table, target, merge, keys, room)
    if refused:
        rejects = yield from _refusals(job, table, merge, start[0], bad, refused)
        if not run.rejects:
            raise row_error(rejects[0], job.file, job.scanner)
        yield Local(partial(run.reject, rejects, job.file))
    yield from refuse_unseen(connection, table, target, merge, staged - len(refused), merged)
    yield from drop_target(connection, target)
    return all_moved(table, merge, staged - len(refused), merged)


def _refusals(
    job: Job,
    table: Table,
    merge: Merge,
    start: Block,
    bad: Collection[int],
    refused: list[Refused],
) -> Steps[list[Reject]]:
    """Return what is to be reported of staged rows that the table refused."""
    from pgstrata.tables.refusals import found_again, places_of

    places = yield from places_of(job.connection, table, job.target, merge, refused)
    records = yield Local(partial(found_again, job.file, start, bad, places))
    return [_refusal(job, record, one) for record, one in zip(records, refused, strict=True)]


def _refusal(job: Job, record: Record, refused: Refused) -> Reject:
    """Return what is to be reported of a record whose staged row the table refused."""
    from pgstrata.tables.hierarchy import orphan

    if refused.key:
        return orphan(job, record, refused.key)
    column = refused.error.diag.column_name or ""
    return reject(job.file, record, job.target, refused.error, column)
