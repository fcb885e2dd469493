"""All or nothing: one COPY, its bytes as they are in the file, stopped at the first complaint."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import psycopg
from psycopg.pq import TransactionStatus

from pgstrata.tables import wire
from pgstrata.tables.errors import InputError, TransferError
from pgstrata.tables.locate import KEPT, Sent, complaint, reject, row_error
from pgstrata.tables.session import refused
from pgstrata.tables.steps import AnyConnection, Local, Steps, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pgstrata.tables.job import Job
    from pgstrata.tables.records import Block, Scanner

_STOPPED = b"stopped by pgstrata"


def load(job: Job, blocks: Iterator[Block], loaded: Callable[[Block], None]) -> Steps[int]:
    """Send the blocks in one COPY and return how many records that were.

    ``loaded`` is called after each block. Raises ``RowError`` for a bad row, ``TransferError`` for
    anything else, and if the server took another number of rows than were sent.
    """
    yield from begin(job, job.statement())
    sent = Sent(job.file, KEPT // job.lanes)
    try:
        records, spoke = yield from _send(job, blocks, sent, loaded)
        reason = _STOPPED if spoke else None
        taken = yield Wire(job.connection, wire.finish(job.connection.pgconn, reason))
    except psycopg.Error as error:
        raise (yield Local(partial(_explained, error, job, sent))) from error
    except BaseException:
        yield from give_up(job.connection)
        raise
    check_count(job, records, taken)
    return records


def begin(job: Job, statements: bytes) -> Steps[None]:
    """Start a COPY. Raises ``TransferError`` if the server refuses it before any row."""
    pgconn = job.connection.pgconn
    try:
        yield Wire(job.connection, wire.start(pgconn, statements))
        pgconn.put_copy_data(job.header)  # which waits in libpq for the first rows
    except psycopg.Error as error:
        raise refused(error, f"cannot load {job.file.name}") from error


def accepted(data: bytes, job: Job, scanner: Scanner) -> bytes:
    r"""Return a block as the server reads it rightly.

    Before 18 it takes a record that is only ``\.`` for the end of all data, silently: quote it. And
    it wants all records to end as the first does, so if that is asked for they all end in LF.
    """
    if job.file.normalize_eol and b"\r\n" in data:
        data = b"".join(map(_ending_in_lf, scanner.split(data)))
    # One byte is looked for first: that takes a tenth of the time, and is mostly enough.
    if job.server >= 18 or b"\\" not in data or b"\\." not in data:  # noqa: PLR2004  # see above
        return data
    mark, quoted = b"\\.", scanner.quote + b"\\." + scanner.quote
    records = scanner.split(data)
    return b"".join(r.replace(mark, quoted) if r.rstrip(b"\r\n") == mark else r for r in records)


def _ending_in_lf(record: bytes) -> bytes:
    return record[:-2] + b"\n" if record.endswith(b"\r\n") else record


def give_up(connection: AnyConnection) -> Steps[None]:
    """End a COPY that cannot go on, if it has not ended, so that the transaction can end."""
    for last in (wire.finish(connection.pgconn, _STOPPED), wire.taken(connection.pgconn)):
        if connection.closed or connection.info.transaction_status != TransactionStatus.ACTIVE:
            return
        with suppress(psycopg.Error):  # that is breaking off; what caused it the caller raises
            yield Wire(connection, last)  # the second one for a COPY whose end was already sent


def check_count(job: Job, sent: int, taken: int) -> None:
    """Raise ``TransferError`` unless the server took as many rows as were sent."""
    if sent != taken:
        raise TransferError(
            f"{job.file.name}: {sent} records were sent, but the server took {taken};"
            " nothing was kept",
            hint="a trigger or rule of the table may drop rows",
        )


def _send(
    job: Job, blocks: Iterator[Block], sent: Sent, loaded: Callable[[Block], None]
) -> Steps[tuple[int, bool]]:
    """Send until the end or until the server speaks, which in mid-COPY is only to complain."""
    scanner, records, spoke = job.scanner, 0, False
    while not spoke and (block := (yield Local(lambda: next(blocks, None)))) is not None:
        sent.add(block)
        records += block.records
        data = accepted(block.data, job, scanner)
        spoke = yield Wire(job.connection, wire.write(job.connection.pgconn, data))
        loaded(block)
    return records, spoke


def _explained(error: psycopg.Error, job: Job, sent: Sent) -> TransferError:
    place = complaint(error, job.target)
    record = None
    if place.line:
        with suppress(InputError):  # a file that is gone is not what went wrong
            record = sent.find(place.line, job.scanner)
    if record is None:
        return refused(error, f"{job.file.name}: nothing was loaded")
    bad = reject(job.file, record, job.target, error, place.column)
    return row_error(bad, job.file, job.scanner)
