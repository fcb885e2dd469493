"""Work that goes on to its end when the task that wants it done is cancelled: half of it would lose
a connection.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Coroutine, Generator
from typing import Any, TypeAlias

from pgstrata.connect.lifecycle import begin

Work: TypeAlias = Coroutine[Any, Any, None]


async def unbroken(work: Work) -> None:
    """Do this in a task of its own, and wait for it unless the caller is cancelled."""
    await asyncio.shield(begin(work))


async def unbroken_if_it_waits(work: Work) -> None:
    """Do this here and now, and what is left in a task of its own if it has to wait. So work that
    seldom waits is done without the cost of a task.

    It may wait for other tasks only: psycopg's time-outs belong to the task that began them.
    """
    try:
        waits_for = work.send(None)
    except StopIteration:  # it is done
        return
    await unbroken(_rest(work, waits_for))


async def _rest(work: Work, waits_for: Any) -> None:
    await _resumed(work, waits_for)


@types.coroutine
def _resumed(work: Work, waits_for: Any) -> Generator[Any, Any, None]:
    yield waits_for  # what the work gave out when it stopped, which the new task waits for instead
    yield from work
