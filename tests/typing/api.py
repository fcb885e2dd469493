"""How the public API is typed. Never run: test_typing.py gives it to the type checkers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
from psycopg_pool import AsyncConnectionPool, ConnectionPool
from typing_extensions import assert_type

from pgstrata import (
    AsyncHandle,
    AsyncPoolHandle,
    Config,
    NormalHandle,
    PGConnectionManager,
    PoolHandle,
    load,
)

Sync = psycopg.Connection[tuple[Any, ...]]
Async = psycopg.AsyncConnection[tuple[Any, ...]]
manager = PGConnectionManager(env="production", project=Path(), environ={"PGUSER": "me"})
assert_type(load("production"), Config)
assert_type(manager.config, Config)

assert_type(manager.normal(), NormalHandle)
assert_type(manager.pool("analytics"), PoolHandle)
assert_type(manager.async_(), AsyncHandle)
assert_type(manager.async_pool(), AsyncPoolHandle)

assert_type(manager.get_database_connection(connection_type="normal"), NormalHandle)
assert_type(manager.get_database_connection(connection_type="pool", connection="x"), PoolHandle)
assert_type(manager.get_database_connection(connection_type="async"), AsyncHandle)
assert_type(manager.get_database_connection(connection_type="async_pool"), AsyncPoolHandle)

# pgmonkey's calls
assert_type(manager.get_database_connection("c.yaml", "normal"), NormalHandle)
assert_type(manager.get_database_connection("c.yaml", "pool", False, True), PoolHandle)
assert_type(manager.get_database_connection(Path("c.yaml"), "async"), AsyncHandle)
assert_type(manager.get_database_connection("c.yaml", "async_pool", True), AsyncPoolHandle)
assert_type(manager.get_database_connection_from_dict({}, "normal"), NormalHandle)
assert_type(manager.get_database_connection_from_dict({}, "pool"), PoolHandle)
assert_type(manager.get_database_connection_from_dict({}, "async"), AsyncHandle)
assert_type(manager.get_database_connection_from_dict({}, "async_pool"), AsyncPoolHandle)

# A type that only the configuration knows
AnyHandle = NormalHandle | PoolHandle | AsyncHandle | AsyncPoolHandle
kind: str = input()
assert_type(manager.get_database_connection(), AnyHandle)
assert_type(manager.get_database_connection("c.yaml", kind), AnyHandle)
assert_type(manager.get_database_connection_from_dict({}), AnyHandle)

with manager.normal() as one, manager.pool() as two:
    assert_type(one, Sync)
    assert_type(two, Sync)
    assert_type(two.execute("SELECT 1").fetchone(), tuple[Any, ...] | None)
with manager.pool().connection() as three:
    assert_type(three, Sync)
assert_type(manager.pool().pool, ConnectionPool[Sync])
assert_type(manager.cache_info, dict[str, Any])


def not_swallowed() -> int:
    """Return from a block: it swallows no exception, so this is no missing return."""
    with manager.pool():
        return 1


async def asynchronous() -> int:
    """Do the same, asynchronously."""
    async with manager.async_() as four, await manager.async_pool() as five:
        assert_type(four, Async)
        assert_type(five, Async)
        assert_type(await (await five.execute("SELECT 1")).fetchone(), tuple[Any, ...] | None)
    assert_type(await manager.async_pool(), AsyncPoolHandle)
    assert_type(await manager.async_(), AsyncHandle)
    assert_type(manager.async_pool().pool, AsyncConnectionPool[Async])
    await manager.clear_cache_async()
    async with manager.get_database_connection("c.yaml", "async_pool"):
        return 1


def mistakes() -> None:
    """List what must be refused; an ignored line without an error is an error itself."""
    with manager.async_pool():  # type: ignore[attr-defined] # pyright: ignore[reportGeneralTypeIssues] # asynchronous
        pass
    manager.pool(1)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # no name
    manager.get_database_connection(1, "pool")  # type: ignore[call-overload] # pyright: ignore[reportCallIssue, reportArgumentType] # no path
    manager.config["connection_settings.host"] = "x"  # type: ignore[index] # pyright: ignore[reportIndexIssue] # frozen
