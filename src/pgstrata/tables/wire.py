"""COPY on the wire: generators over libpq's own calls, for ``connection.wait()``.

psycopg's ``Copy`` object hands over one row at a time and does not look at the server while it
writes. Here bytes go through in blocks, and the server is listened to between blocks: libpq itself
looks at an error only when all has been sent, which for a large file is hours later.
"""

from __future__ import annotations

import os
import socket
import sys
from functools import partial
from operator import itemgetter
from time import monotonic
from typing import TYPE_CHECKING

import psycopg
from psycopg import pq
from psycopg.errors import error_from_result
from psycopg.waiting import Ready, Wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg.abc import PQGen
    from psycopg.pq.abc import PGconn, PGresult

GULP = 256 * 1024  # bytes
PATIENCE = 0.25  # seconds; a packet that was lost is sent again sooner
_COPYING = (pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT)
_NONE_YET, _DATA = (0, b""), itemgetter(1)  # of what get_copy_data returns: length and row
_FAILED = (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.BAD_RESPONSE)


def _nothing() -> None:
    pass


def start(pgconn: PGconn, statement: bytes) -> PQGen[None]:
    """Send statements of which the last is a COPY; return when data can flow."""
    pgconn.send_query(statement)
    yield from _flush(pgconn)
    while (result := (yield from _result(pgconn))) is not None:
        if result.status in _COPYING:
            _ear(pgconn).unclear = False
            return
        if result.status in _FAILED:
            yield from leave(pgconn)
            raise error_from_result(result)
    raise psycopg.ProgrammingError("the statement is no COPY")


def write(pgconn: PGconn, data: bytes, *, to_end: bool = False) -> PQGen[bool]:
    """Send ``data``; return whether the server has spoken meanwhile, which is of an error.

    It may also be a part of a long notice, of which libpq says nothing before all of it is there.
    So what is unclear is waited for, unless the rest of the data is sent ``to_end`` in any case.
    """
    ear = _ear(pgconn)
    while pgconn.put_copy_data(data) == 0:
        yield Wait.W
    while True:
        ready = (yield Wait.RW) or 0  # psycopg goes on with None after Ctrl-C
        if ready & Ready.R:
            ear.listen(pgconn)
        if ready & Ready.W and pgconn.flush() == 0:
            return ear.unclear and not to_end and (yield from _silent(pgconn, ear))


class _Ear:
    """Hands notices on, which a trigger may raise at any time; ``unclear`` is what came last, if it
    was none.
    """

    def __init__(self, hand_on: Callable[[PGresult], None] | None) -> None:
        self.hand_on = hand_on
        self.unclear = False

    def __call__(self, notice: PGresult) -> None:
        self.unclear = False
        if self.hand_on is not None:
            self.hand_on(notice)

    def listen(self, pgconn: PGconn) -> None:
        """Take what has come. libpq looks for notices, and only for them, when it is asked whether
        it is busy.
        """
        pgconn.consume_input()
        self.unclear = True
        pgconn.is_busy()


def _ear(pgconn: PGconn) -> _Ear:
    """Return what listens to the connection, from the first call on."""
    if not isinstance(pgconn.notice_handler, _Ear):
        pgconn.notice_handler = _Ear(pgconn.notice_handler)
    return pgconn.notice_handler


def _silent(pgconn: PGconn, ear: _Ear) -> PQGen[bool]:
    """Tell whether no notice becomes complete, so that it is an error: no more comes then."""
    end = monotonic() + PATIENCE
    while ear.unclear and monotonic() < end:
        if (yield Wait.R):
            ear.listen(pgconn)
            end = monotonic() + PATIENCE
    return ear.unclear


def finish(pgconn: PGconn, reason: bytes | None = None) -> PQGen[int]:
    """End the data, or break it off for a ``reason``; return how many rows the server took."""
    yield from end(pgconn, reason)
    return (yield from taken(pgconn))


def end(pgconn: PGconn, reason: bytes | None = None) -> PQGen[None]:
    """Say that there is no more data, or break it off for a ``reason``."""
    while pgconn.put_copy_end(reason) == 0:
        yield Wait.W
    yield from _flush(pgconn)


def read(pgconn: PGconn, size: int) -> PQGen[tuple[bytes, int, int]]:
    """Return data of about ``size`` bytes, how many rows it is, and the server's count at the end.

    One message of the server is one row. The count is -1 until the end, which may come with the
    last data.
    """
    blocks: list[bytes] = []
    count = length = 0
    while True:
        rows, ended = _received(pgconn)
        blocks.append(b"".join(rows))
        count, length = count + len(rows), length + len(blocks[-1])
        if ended:
            total = yield from taken(pgconn)
            return b"".join(blocks), count, total
        if length >= size:
            return b"".join(blocks), count, -1
        if not rows:
            yield from _gulp(pgconn)
        pgconn.consume_input()


def _gulp(pgconn: PGconn) -> PQGen[None]:
    """Wait until ``GULP`` bytes are there, or for the interval of the connection's wait.

    The server hands over 8 KB at a time. If each of them woke this process, both would spend a good
    part of their time on that. Sockets of other systems, and local ones, wake at the first byte.
    """
    if sys.platform != "linux":
        yield Wait.R
        return
    with socket.socket(fileno=os.dup(pgconn.socket)) as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, GULP)
        try:
            yield Wait.R
        finally:  # whoever waits next may wait for less
            own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)


def _received(pgconn: PGconn) -> tuple[list[bytes | memoryview], bool]:
    """Return the rows that have arrived, and whether they were the last.

    A loop in Python over every row would take as long as the server does. ``extend`` stops by
    itself at what stands for "none yet"; the call after the end of the data fails. Rows are never
    empty, as what stands for the end is.
    """
    rows: list[bytes | memoryview] = []
    try:
        rows.extend(map(_DATA, iter(partial(pgconn.get_copy_data, 1), _NONE_YET)))
    except psycopg.OperationalError:
        if not rows or rows[-1]:
            raise
        rows.pop()
        return rows, True
    return rows, False


def taken(pgconn: PGconn, meanwhile: Callable[[], None] = _nothing) -> PQGen[int]:
    """Wait for the end of a COPY; return how many rows the server says it was. ``meanwhile`` is
    called whenever something has come, such as a notice.
    """
    failure: PGresult | None = None
    count = 0
    while (result := (yield from _result(pgconn, meanwhile))) is not None:
        if result.status in _FAILED:
            failure = result
        else:
            count = result.command_tuples or 0
    if failure is not None:
        raise error_from_result(failure)
    return count


def leave(pgconn: PGconn) -> PQGen[None]:
    """Take what a statement that failed or was cancelled still has to say, however far it is."""
    while (result := (yield from _result(pgconn))) is not None:
        if result.status == pq.ExecStatus.COPY_IN:
            yield from end(pgconn, b"stopped by pgstrata")
        while result.status == pq.ExecStatus.COPY_OUT and not _received(pgconn)[1]:
            yield Wait.R
            pgconn.consume_input()


def _result(pgconn: PGconn, meanwhile: Callable[[], None] = _nothing) -> PQGen[PGresult | None]:
    while pgconn.is_busy():
        meanwhile()
        if (yield Wait.R):
            try:
                pgconn.consume_input()
            except psycopg.OperationalError:
                if (last := pgconn.get_result()) is None:
                    raise
                return last  # the server's own last words say more than that it has gone
    return pgconn.get_result()


def _flush(pgconn: PGconn) -> PQGen[None]:
    while pgconn.flush() != 0:
        if ((yield Wait.RW) or 0) & Ready.R:
            pgconn.consume_input()
