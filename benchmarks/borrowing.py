"""What the handles cost: borrow + ``SELECT 1`` + return, against raw psycopg_pool, alone and in
crowds; and what it costs to get a handle. Exits 1 if a goal is missed.

All variants take turns on one and the same pool, in a new order each round: two pools lead to two
server processes, and differ by more than what is measured. Prints the medians and their ratios as
markdown tables.

    PYTHONPATH=src python -m benchmarks.borrowing [ROUNDS]
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from math import inf
from pathlib import Path
from statistics import median
from time import perf_counter_ns

from benchmarks.borrowing_ways import (
    BY_FILE,
    HELD,
    RAW,
    WATCHED,
    async_variants,
    project,
    sync_variants,
)
from pgstrata import PGConnectionManager

ROUNDS = 20_000
THREADS, TASKS = 8, 50
EACH = 5  # times that each of a crowd borrows, between two looks at the clock
LOOKUPS = 1000  # as many, as one takes less than the clock can tell
ALONE = (("SELECT 1", "SELECT 1"), ("nothing", ""))
QUERY = "SELECT 1"
IN_THREADS, IN_TASKS = f"{QUERY}, {THREADS} threads", f"{QUERY}, {TASKS} tasks"

# Ratios to psycopg_pool, by work and way; and microseconds.
MOST = {
    (QUERY, HELD): 1.02,
    (QUERY, BY_FILE): 1.15,
    ("nothing", HELD): 1.00,
    ("nothing", WATCHED): 1.05,
    (IN_THREADS, HELD): 1.05,
    (IN_TASKS, HELD): 1.05,
}
BY_ENVIRONMENT, BY_PATH = "`manager.pool()`", '`manager.get_database_connection(file, "pool")`'
MOST_MICROSECONDS = {BY_ENVIRONMENT: 0.3, BY_PATH: 5.0}

Times = dict[str, list[int]]
Work = Callable[[], None]
AsyncWork = Callable[[], Awaitable[None]]


def measure(variants: dict[str, Work], rounds: int) -> Times:
    """Return the nanoseconds of each operation of each variant."""
    times: Times = {name: [] for name in variants}
    order = list(variants)
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            work = variants[name]
            began = perf_counter_ns()
            work()
            times[name].append(perf_counter_ns() - began)
    return times


async def measure_async(variants: dict[str, AsyncWork], rounds: int) -> Times:
    """Return the same of asynchronous variants."""
    times: Times = {name: [] for name in variants}
    order = list(variants)
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            work = variants[name]
            began = perf_counter_ns()
            await work()
            times[name].append(perf_counter_ns() - began)
    return times


def in_threads(variants: dict[str, Work], threads: ThreadPoolExecutor) -> dict[str, Work]:
    """Return the same work, done by all threads at once."""

    def crowd(work: Work) -> Work:
        def everybody() -> None:
            for done in [threads.submit(repeat, work, EACH) for _ in range(THREADS)]:
                done.result()

        return everybody

    return {name: crowd(variants[name]) for name in (RAW, HELD)}


def in_tasks(variants: dict[str, AsyncWork]) -> dict[str, AsyncWork]:
    """Return the same work, done by all tasks at once."""

    def crowd(work: AsyncWork) -> AsyncWork:
        async def one() -> None:
            for _ in range(EACH):
                await work()

        async def everybody() -> None:
            await asyncio.gather(*(one() for _ in range(TASKS)))

        return everybody

    return {name: crowd(variants[name]) for name in (RAW, HELD)}


def repeat(work: Callable[[], object], times: int) -> None:
    """Do something so often."""
    for _ in range(times):
        work()


def report(kind: str, work: str, times: Times, operations: int = 1) -> list[bool]:
    """Print the rows of some variants, of which one is psycopg_pool; return which goals were
    reached. ``operations`` are those that each time is for.
    """
    base, reached = median(times[RAW]), []
    for name, each in times.items():
        ratio, most = round(median(each) / base, 2), MOST.get((work, name))
        reached.append(most is None or ratio <= most)
        goal = "" if most is None else f"<= {most:.2f}"
        middle = median(each) / operations / 1000
        print(f"| {kind} | {work} | {name} | {middle:.1f} | {ratio:.2f} | {goal} |")
    return reached


def report_lookups(times: Times) -> list[bool]:
    """Print what it costs to get a handle; return which goals were reached."""
    print("\n| handle | median us | must reach |\n|---|---:|---:|")
    middles = {name: median(each) / LOOKUPS / 1000 for name, each in times.items()}
    for name, middle in middles.items():
        goal = f"<= {MOST_MICROSECONDS[name]}" if name in MOST_MICROSECONDS else ""
        print(f"| {name} | {middle:.2f} | {goal} |")
    return [middle <= MOST_MICROSECONDS.get(name, inf) for name, middle in middles.items()]


def run(manager: PGConnectionManager, folder: Path, rounds: int) -> list[bool]:
    """Measure the variants that block, alone and in threads."""
    reached: list[bool] = []
    for work, query in ALONE:
        variants = sync_variants(manager, str(folder / "one.yaml"), query)
        reached += report("pool", work, measure(variants, rounds))
    with ThreadPoolExecutor(THREADS) as threads:
        crowds = in_threads(sync_variants(manager, str(folder / "eight.yaml"), QUERY), threads)
        times = measure(crowds, rounds // 100)
        reached += report("pool", IN_THREADS, times, THREADS * EACH)
    return reached


async def run_async(manager: PGConnectionManager, folder: Path, rounds: int) -> list[bool]:
    """Measure the asynchronous variants, in one event loop, alone and in tasks."""
    reached: list[bool] = []
    for work, query in ALONE:
        variants = await async_variants(manager, str(folder / "one.yaml"), query)
        reached += report("async_pool", work, await measure_async(variants, rounds))
    crowds = in_tasks(await async_variants(manager, str(folder / "eight.yaml"), QUERY))
    times = await measure_async(crowds, rounds // 200)
    reached += report("async_pool", IN_TASKS, times, TASKS * EACH)
    await manager.clear_cache_async()
    return reached


def run_lookups(folder: Path, rounds: int) -> list[bool]:
    """Measure how long it takes to get a handle that was asked for before."""
    manager = PGConnectionManager("bench", project=folder, environ={})
    file = str(folder / "one.yaml")
    ways: dict[str, Callable[[], object]] = {
        BY_ENVIRONMENT: manager.pool,
        BY_PATH: lambda: manager.get_database_connection(file, "pool"),
        "of that, asking whether the file has changed": lambda: os.stat(file),  # noqa: PTH116  # as there
    }
    often = {name: _often(way) for name, way in ways.items()}
    reached = report_lookups(measure(often, max(rounds // 100, 5)))
    manager.clear_cache()
    return reached


def _often(way: Callable[[], object]) -> Work:
    return lambda: repeat(way, LOOKUPS)


def main(rounds: int) -> int:
    """Start a server, measure, print, and stop the server. Return 1 if a goal was missed."""
    with project() as folder:
        print("| type | work | through | median us | ratio | must reach |")
        print("|---|---|---|---:|---:|---:|")
        manager = PGConnectionManager(environ={})
        reached = run(manager, folder, rounds)
        reached += asyncio.run(run_async(manager, folder, rounds))
        manager.clear_cache()
        reached += run_lookups(folder, rounds)
    return int(not all(reached))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS))
