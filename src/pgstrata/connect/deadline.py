"""A deadline on this side of the connection.

A proxy that acknowledges everything and passes nothing on defeats libpq's time-outs and the
server's: the one never hears of silence, the other never of the query.
"""

from __future__ import annotations

from time import monotonic
from typing import TypeVar

from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from psycopg.pq.abc import PGconn
from psycopg.waiting import Ready

from pgstrata.connect.failure import DeadlineError

Result = TypeVar("Result")


def within(seconds: float, work: PQGen[Result], pgconn: PGconn) -> PQGen[Result]:
    """Do psycopg's work on a connection, and give up when its answer is not there in time. Raises
    ``DeadlineError``.

    psycopg resumes the work ten times a second also when nothing happens. Only a command that was
    sent has a deadline; waiting for notifications has none.
    """
    until = monotonic() + seconds
    try:
        wanted = next(work)
        while True:
            ready = yield wanted
            late = ready == Ready.NONE and monotonic() > until
            if late and pgconn.transaction_status == TransactionStatus.ACTIVE:
                raise DeadlineError(
                    f"the server did not answer within {seconds:g} s; the connection was closed",
                    hint="what was asked may have been done; the time is client_deadline",
                )
            wanted = work.send(ready)
    except StopIteration as end:
        result: Result = end.value
        return result
