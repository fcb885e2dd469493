"""One file into the table: all of it, or with its bad rows kept apart."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pgstrata.tables import strict
from pgstrata.tables.job import Job
from pgstrata.tables.locate import reject
from pgstrata.tables.modes import Merge, Merged, all_moved, close_target, drop_target, open_target
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
    target = yield from open_target(run.connection, table, fitted.columns, merge)
    job = Job(run.connection, target, fitted.file, run.options.empty_as_null)
    read = yield from strict.load(job, blocks, teller(run, fitted))
    merged = yield from close_target(run.connection, table, target, merge, read)
    run.count(read, merged)
    return read


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

    file = fitted.file
    numbered = merge.staged(fitted.columns) and file.repeatable
    target = yield from open_target(run.connection, table, fitted.columns, merge, numbered=numbered)
    job = Job(run.connection, target, file, run.options.empty_as_null)
    constraints = yield from check_at_once(run.connection, table)
    start: list[Block] = []
    bad: set[int] = set()

    def keep(rejects: list[Reject]) -> None:
        bad.update(one.record for one in rejects)
        run.reject(rejects, file)

    assert run.rejects is not None
    read, loaded = yield from tolerant.load(
        job, table, _noted(blocks, start), keep, teller(run, fitted), run.rejects.room
    )
    if numbered and start:
        merged = yield from _moved(run, job, table, merge, start[0], bad, loaded)
    else:
        merged = yield from close_target(run.connection, table, target, merge, loaded)
    yield from put_off_again(run.connection, constraints)
    run.count(read, merged)
    return read


def _noted(blocks: Iterator[Block], start: list[Block]) -> Iterator[Block]:
    """Yield blocks, and note where the first one is."""
    for block in blocks:
        if not start:
            start.append(block._replace(data=b""))
        yield block


def _moved(  # what is known of the rows that are staged
    run: Run,
    job: Job,
    table: Table,
    merge: Merge,
    start: Block,
    bad: Collection[int],
    staged: int,
) -> Steps[Merged]:
    """Move staged rows into the table, and reject those that it refuses."""
    from pgstrata.tables.hierarchy import own_keys
    from pgstrata.tables.refusals import found_again, move_rows, places_of

    assert run.rejects is not None
    connection, file, target = job.connection, job.file, job.target
    keys = yield from own_keys(connection, table)
    room = run.rejects.room
    merged, refused = yield from move_rows(connection, table, target, merge, keys, room)
    if refused:
        places = yield from places_of(connection, table, target, merge, refused)
        records = yield Local(partial(found_again, file, start, bad, places))
        pairs = zip(records, refused, strict=True)
        rejects = [_refusal(job, record, one) for record, one in pairs]
        yield Local(partial(run.reject, rejects, file))
    yield from drop_target(connection, target)
    return all_moved(table, merge, staged - len(refused), merged)


def _refusal(job: Job, record: Record, refused: Refused) -> Reject:
    """Return what is to be reported of a record whose staged row the table refused."""
    from pgstrata.tables.hierarchy import orphan

    if refused.key:
        return orphan(job, record, refused.key)
    column = refused.error.diag.column_name or ""
    return reject(job.file, record, job.target, refused.error, column)
