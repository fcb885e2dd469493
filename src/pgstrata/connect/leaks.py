"""Who holds connections for too long.

At a checkout nothing is looked at but the caller's place: a stack would cost twice the checkout.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from sys import _getframe
from threading import get_ident
from time import monotonic
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, TypeAlias

import psycopg
from psycopg_pool import AsyncConnectionPool, ConnectionPool, pool, pool_async
from psycopg_pool.pool import MaintenanceTask
from psycopg_pool.pool_async import MaintenanceTask as AsyncMaintenanceTask

from pgstrata.connect.blocks import Enter

if TYPE_CHECKING:
    from pgstrata.connect.async_pool import AsyncPool
    from pgstrata.connect.pool import Pool

logger = logging.getLogger("pgstrata.connect")

# Where a connection was borrowed (the code, and the place in it), in which thread, by which task.
Holder: TypeAlias = "tuple[CodeType, int, int, asyncio.Task[Any] | None]"
Loan: TypeAlias = tuple[float, "Holder | None"]  # since when, in time.monotonic

_ENTER = Enter("__enter__").enter.__code__

# Files of what calls the pool on the borrower's behalf.
_BETWEEN = frozenset(
    (
        *(
            str(Path(__file__).with_name(name))
            for name in ("pool.py", "pooled.py", "async_pool.py", "async_block.py", "blocks.py")
        ),
        *(module.__file__ for module in (pool, pool_async, contextlib)),
    )
)


def holder() -> Holder:
    """Return who asks the pool's ``getconn``, which calls this."""
    frame = _getframe(2)
    between = frame.f_back
    if between is not None and between.f_code is _ENTER and between.f_back is not None:
        frame = between.f_back  # `with handle`, which has to be quick
    frame = _borrower(frame)
    return frame.f_code, frame.f_lasti, get_ident(), None


def async_holder() -> Holder:
    """Return the same in an event loop, with the task."""
    frame = _borrower(_getframe(2))
    return frame.f_code, frame.f_lasti, get_ident(), asyncio.current_task()


def _borrower(frame: FrameType) -> FrameType:
    while frame.f_code.co_filename in _BETWEEN and frame.f_back is not None:
        frame = frame.f_back
    return frame


class Leaks:
    """Tells of the borrowers of one pool who hold a connection for longer than ``threshold``
    seconds: once, and once more when they give it back after all.

    ``reported`` are the connections that are held too long at the moment.
    """

    def __init__(self, pool_name: str, threshold: float) -> None:
        self.threshold = threshold
        self.reported: set[object] = set()
        self._pool_name = pool_name

    @property
    def period(self) -> float:
        """How many seconds lie between two looks."""
        return self.threshold / 2

    def returned(self, connection: object, loan: Loan) -> None:
        """Say that a connection is back, if it was missed."""
        if connection in self.reported:
            self.reported.discard(connection)
            since, held_by = loan
            logger.info(
                "pool %s: the connection borrowed at %s was given back after %.1f s",
                *(self._pool_name, _place(held_by), monotonic() - since),
            )

    def look(self, in_use: Mapping[Any, Loan]) -> None:
        """Report those who hold a connection for too long."""
        now = monotonic()
        for connection, (since, held_by) in list(in_use.items()):
            if now - since < self.threshold or connection in self.reported:
                continue
            self.reported.add(connection)
            logger.warning(
                "pool %s: a connection held for %.1f s, borrowed at %s by %s (server process %s)",
                *(self._pool_name, now - since, _place(held_by), _who(held_by)),
                _process(connection),
            )
            if connection not in in_use:  # it came back meanwhile
                self.reported.discard(connection)


class LeakWatch(MaintenanceTask):
    """One look, in a worker of a ``Pool``, after which the next one is due."""

    def _run(self, pool: ConnectionPool[Any]) -> None:
        leaks = _leaks(pool)  # type: ignore[arg-type]  # a task of no other pool
        pool.schedule_task(self, leaks.period)  # first, so that no error ends the watch
        leaks.look(pool.in_use)  # type: ignore[attr-defined]  # as above


class AsyncLeakWatch(AsyncMaintenanceTask):
    """The same for an ``AsyncPool``."""

    async def _run(self, pool: AsyncConnectionPool[Any]) -> None:
        leaks = _leaks(pool)  # type: ignore[arg-type]  # as above
        await pool.schedule_task(self, leaks.period)
        leaks.look(pool.in_use)  # type: ignore[attr-defined]  # as above


def _leaks(pool: Pool | AsyncPool) -> Leaks:
    assert pool.leaks is not None
    return pool.leaks


def _process(connection: Any) -> str:
    try:
        return str(connection.info.backend_pid)
    except psycopg.Error:  # its borrower closed it, and keeps its place in the pool all the same
        return "none any more"


def _place(holder: Holder | None) -> str:
    assert holder is not None
    code, offset = holder[:2]
    lines = (line for start, end, line in code.co_lines() if start <= offset < end)
    return f"{code.co_filename}:{next(lines, None) or code.co_firstlineno} in {code.co_name}"


def _who(holder: Holder | None) -> str:
    assert holder is not None
    *_, identity, task = holder
    if task is not None:
        return f"task {task.get_name()}"
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return f"thread {names.get(identity, 'that has ended')}"
