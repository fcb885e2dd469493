"""Many callers at once: a cold start, and a storm of cancellations."""

from __future__ import annotations

import asyncio
import random
import re
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from time import monotonic
from typing import Any

from tests.faults.ledger import PATIENCE
from tests.faults.sessions import together
from tests.faults.stage import SIZE, Outcome, Stage
from tests.faults.subjects import Borrow, async_blocks

STORM = 1344
TRIAL = 1  # a pool may try one connection before it opens


def cold(stage: Stage) -> Outcome:
    """Have many threads, or tasks of one event loop, ask at once for a connection of a pool that
    nobody has opened yet.
    """
    name = f"herd-{uuid.uuid4().hex[:8]}"
    settings = stage.settings(application_name=name)
    began = monotonic()
    if "async" in stage.subject:
        with async_blocks(stage.subject, settings) as (loop, block):
            errors = loop.run(tasks_at_once(block, 200 if stage.short else 1000))
            seconds = monotonic() - began
    else:
        with stage.opened(settings) as borrow:
            errors = stampede(borrow, 50 if stage.short else 200)
            seconds = monotonic() - began
    made = len(re.findall(f"connection authorized: .*{name}", stage.server.log_text()))
    many = () if made <= SIZE + TRIAL else (f"{made} connections were made",)
    return Outcome(seconds, errors, many)


def stampede(borrow: Borrow, size: int) -> dict[str, int]:
    """Have so many threads ask at the same moment; return their errors, by kind."""
    start = Barrier(size)

    def ask() -> str:
        start.wait(PATIENCE)
        try:
            with borrow() as session:
                session.execute("SELECT 1")
        except Exception as error:  # noqa: BLE001  # whatever it is, it is counted
            return type(error).__name__
        return ""

    with ThreadPoolExecutor(size) as threads:
        kinds = [future.result() for future in [threads.submit(ask) for _ in range(size)]]
    return {kind: kinds.count(kind) for kind in set(kinds) - {""}}


async def tasks_at_once(block: Callable[[], Any], size: int) -> dict[str, int]:
    """Do the same with so many tasks."""

    async def ask() -> None:
        async with block() as connection:
            await connection.execute("SELECT 1")

    results = await asyncio.gather(*(ask() for _ in range(size)), return_exceptions=True)
    return Counter(type(result).__name__ for result in results if result is not None)


def cancelled(stage: Stage) -> Outcome:
    """Cancel tasks that wait or run a query; afterwards the whole pool can be borrowed."""
    tasks = 200 if stage.short else STORM
    with async_blocks(stage.subject, stage.settings()) as (loop, block):

        async def one() -> None:
            async with block() as connection:
                await connection.execute("SELECT pg_sleep(0.01)")

        async def storm() -> None:
            began = [asyncio.ensure_future(one()) for _ in range(tasks)]
            while not all(task.done() for task in began):
                for task in random.sample(began, tasks // 20):
                    task.cancel()
                await asyncio.sleep(0.005)
            await asyncio.gather(*began, return_exceptions=True)

        loop.run(storm())
        began = monotonic()
        pids = together(lambda: loop.block(block()), SIZE)
        leaked = () if len(pids) == SIZE else (f"only {len(pids)} of {SIZE} connections",)
        return Outcome(monotonic() - began, {}, leaked)
