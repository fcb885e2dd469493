"""What the handles cost: borrow + ``SELECT 1`` + return, against raw psycopg_pool.

All variants take turns on one and the same pool, operation by operation, in a new order each
round: two pools lead to two server processes, and differ by more than what is measured. Prints
the medians and their ratios as a markdown table.

    PYTHONPATH=src python -m benchmarks.borrowing [ROUNDS]
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter_ns

import psycopg
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from pgstrata import PGConnectionManager, local
from pgstrata.connect.leaks import Leaks
from pgstrata.local.account import is_root

ROUNDS = 20_000
WATCHED = 60.0  # seconds, which no borrower here takes
Times = dict[str, list[int]]


def measure(variants: dict[str, Callable[[], None]], rounds: int) -> Times:
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


async def measure_async(variants: dict[str, Callable[[], Awaitable[None]]], rounds: int) -> Times:
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


def sync_variants(
    manager: PGConnectionManager, file: str, query: str
) -> dict[str, Callable[[], None]]:
    """Return the ways to borrow; ``query`` may be empty, for the borrowing alone.

    Counting is always on. Watching for leaks is switched on for its own variant only.
    """
    handle = manager.get_database_connection(file, "pool")
    pool = handle.open()

    @contextmanager
    def borrowed() -> Iterator[psycopg.Connection]:
        """Do what psycopg_pool's ``connection()`` does, on the same pool."""
        connection = ConnectionPool.getconn(pool)
        try:
            began = monotonic()
            psycopg.Connection.__enter__(connection)
            yield connection
            psycopg.Connection.__exit__(connection, None, None, None)
        finally:
            ConnectionPool.putconn(pool, connection)
            used = int(1000.0 * (monotonic() - began))
            pool._stats["usage_ms"] += used  # noqa: SLF001  # it is part of what is measured

    def raw() -> None:
        with borrowed() as connection:
            if query:
                connection.execute(query.encode())

    def held() -> None:
        with handle as connection:
            if query:
                connection.execute(query.encode())

    leaks = Leaks(pool.name, WATCHED)

    def watched() -> None:
        pool.leaks = leaks
        with handle as connection:
            if query:
                connection.execute(query.encode())
        pool.leaks = None

    def by_file() -> None:
        with manager.get_database_connection(file, "pool") as connection:
            if query:
                connection.execute(query.encode())

    return {
        "psycopg_pool": raw,
        "held handle": held,
        "held handle, watched": watched,
        "by file on each call": by_file,
    }


async def async_variants(
    manager: PGConnectionManager, file: str, query: str
) -> dict[str, Callable[[], Awaitable[None]]]:
    """Return the same, asynchronous."""
    handle = await manager.get_database_connection(file, "async_pool")
    pool = await handle.open()

    @asynccontextmanager
    async def borrowed() -> AsyncIterator[psycopg.AsyncConnection]:
        """Do what psycopg_pool's ``connection()`` does, on the same pool."""
        connection = await AsyncConnectionPool.getconn(pool)
        try:
            began = monotonic()
            await psycopg.AsyncConnection.__aenter__(connection)
            yield connection
            await psycopg.AsyncConnection.__aexit__(connection, None, None, None)
        finally:
            await AsyncConnectionPool.putconn(pool, connection)
            used = int(1000.0 * (monotonic() - began))
            pool._stats["usage_ms"] += used  # noqa: SLF001  # it is part of what is measured

    async def raw() -> None:
        async with borrowed() as connection:
            if query:
                await connection.execute(query.encode())

    async def held() -> None:
        async with handle as connection:
            if query:
                await connection.execute(query.encode())

    leaks = Leaks(pool.name, WATCHED)

    async def watched() -> None:
        pool.leaks = leaks
        async with handle as connection:
            if query:
                await connection.execute(query.encode())
        pool.leaks = None

    async def by_file() -> None:
        async with manager.get_database_connection(file, "async_pool") as connection:
            if query:
                await connection.execute(query.encode())

    return {
        "psycopg_pool": raw,
        "held handle": held,
        "held handle, watched": watched,
        "by file on each call": by_file,
    }


def report(kind: str, work: str, times: Times) -> None:
    """Print the rows of one table; the first variant is what the others are compared with."""
    base = median(times["psycopg_pool"])
    for name, each in times.items():
        middle = median(each)
        print(f"| {kind} | {work} | {name} | {middle / 1000:.1f} | {middle / base:.3f} |")


async def run_async(manager: PGConnectionManager, file: str, rounds: int) -> None:
    """Measure the asynchronous variants, in one event loop."""
    for work, query in (("SELECT 1", "SELECT 1"), ("nothing", "")):
        variants = await async_variants(manager, file, query)
        report("async_pool", work, await measure_async(variants, rounds))
    await manager.clear_cache_async()


def main(rounds: int) -> None:
    """Start a server, measure, print, and stop the server."""
    with tempfile.TemporaryDirectory(prefix="pgstrata-bench-") as root:
        if is_root():  # the server runs under an account that must be able to pass
            Path(root).chmod(0o755)
        environ = {"PGSTRATA_LOCAL_DIR": root}
        server = local.start(Path(root), environ=environ)
        try:
            # A whole configuration, so that reading it costs what it costs in practice.
            settings = {
                **{name: text for name, text in server.keywords("postgres").items() if text},
                "password": server.password.reveal(),
                "application_name": "benchmark",
            }
            sizes = {"min_size": 1, "max_size": 1}
            file = Path(root, "config.yaml")
            file.write_text(
                json.dumps(
                    {
                        "connection_settings": settings,
                        "pool_settings": sizes,
                        "async_pool_settings": sizes,
                        "session_settings": {"statement_timeout": "30s"},
                    }
                )
            )
            print("| type | work | through | median us | ratio |")
            print("|---|---|---|---|---|")
            manager = PGConnectionManager(environ={})
            for work, query in (("SELECT 1", "SELECT 1"), ("nothing", "")):
                variants = sync_variants(manager, str(file), query)
                report("pool", work, measure(variants, rounds))
            asyncio.run(run_async(manager, str(file), rounds))
            manager.clear_cache()
        finally:
            local.stop(Path(root), environ=environ)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
