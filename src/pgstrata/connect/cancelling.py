"""Stop what runs on the server: on any number of connections at once, within one time.

No threads and no event loops are needed, as there may be none any more: Python 3.12 starts no
thread while the program ends, and the loop of an asynchronous connection may not run.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector, DefaultSelector
from time import monotonic
from typing import Any

import psycopg
from psycopg import capabilities, pq

from pgstrata.connect.answering import answering, ready

CANCEL_SECONDS = 1.0

_EVENTS = {pq.PollingStatus.READING: EVENT_READ, pq.PollingStatus.WRITING: EVENT_WRITE}


def cancel(
    connections: Iterable[psycopg.Connection[Any] | psycopg.AsyncConnection[Any]],
    seconds: float = CANCEL_SECONDS,
) -> None:
    """Cancel what runs on these connections of any thread or loop, as far as that is possible in so
    many seconds for all.
    """
    active = [
        connection
        for connection in connections
        if connection.pgconn.transaction_status == pq.TransactionStatus.ACTIVE
    ]
    if not active:
        return
    if capabilities.has_cancel_safe():
        _cancel_together(active, seconds)
    else:
        _cancel_those_that_answer(active, seconds)


def _cancel_together(connections: Iterable[Any], seconds: float) -> None:
    until = monotonic() + seconds
    with DefaultSelector() as selector:
        for connection in connections:
            with suppress(psycopg.Error):  # it was closed meanwhile, or its server is gone
                request = connection.pgconn.cancel_conn()
                request.start()
                _go_on(selector, request)
        for key in ready(selector, until):
            selector.unregister(key.fileobj)
            with suppress(psycopg.Error):
                _go_on(selector, key.data)


def _go_on(selector: BaseSelector, request: pq.abc.PGcancelConn) -> None:
    event = _EVENTS.get(pq.PollingStatus(request.poll()))
    if event is not None:
        selector.register(request.socket, event, request)


def _cancel_those_that_answer(connections: Iterable[Any], seconds: float) -> None:
    """Do it with a libpq older than 17, which can only wait for the server, and with some versions
    of psycopg lets no other thread run meanwhile.
    """
    for connection in answering(connections, monotonic() + seconds):
        with suppress(psycopg.Error):
            connection.cancel()
