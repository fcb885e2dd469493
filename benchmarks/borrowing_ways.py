"""The ways to borrow a connection that ``benchmarks.borrowing`` compares, all on one pool."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from time import monotonic

import psycopg
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from pgstrata import PGConnectionManager, local
from pgstrata.connect.leaks import Leaks
from pgstrata.local.account import is_root

RAW, HELD = "psycopg_pool", "held handle"
WATCHED, BY_FILE = "held handle, watched", "by file on each call"
LONG = 60.0  # seconds, which no borrower here takes


@contextmanager
def project() -> Iterator[Path]:
    """Start a server; yield a project whose environment ``bench``, and whose files ``one.yaml`` and
    ``eight.yaml``, lead to it, with pools of so many connections.
    """
    with tempfile.TemporaryDirectory(prefix="pgstrata-bench-") as root:
        folder = Path(root)
        if is_root():  # the server runs under an account that must be able to pass
            folder.chmod(0o755)
        environ = {"PGSTRATA_LOCAL_DIR": root}
        server = local.start(folder, environ=environ)
        try:
            settings = {
                **{name: text for name, text in server.keywords("postgres").items() if text},
                "password": server.password.reveal(),
                "application_name": "benchmark",
            }
            (folder / "environments").mkdir()
            for name, size in (("one", 1), ("eight", 8), ("environments/base", 1)):
                (folder / f"{name}.yaml").write_text(json.dumps(_content(settings, size)))
            (folder / "environments" / "bench.yaml").write_text("")
            yield folder
        finally:
            local.stop(folder, environ=environ)


def _content(settings: dict[str, str], size: int) -> dict[str, object]:
    """Return a whole configuration, so that reading it costs what it costs in practice."""
    sizes = {"min_size": size, "max_size": size}
    return {
        "connection_settings": settings,
        "pool_settings": sizes,
        "async_pool_settings": sizes,
        "session_settings": {"statement_timeout": "30s"},
    }


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

    leaks = Leaks(pool.name, LONG)

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

    return {RAW: raw, HELD: held, WATCHED: watched, BY_FILE: by_file}


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

    leaks = Leaks(pool.name, LONG)

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

    return {RAW: raw, HELD: held, WATCHED: watched, BY_FILE: by_file}
