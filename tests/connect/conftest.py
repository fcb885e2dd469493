"""Projects that connect to the servers of the tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from tests.servers import Server

from pgstrata import PGConnectionManager
from pgstrata.connect.handles import AsyncHandle, AsyncPoolHandle, Handle

TYPES = ("normal", "pool", "async", "async_pool")
Make: TypeAlias = Callable[..., PGConnectionManager]


def settings(server: Server, database: str = "postgres", **over: Any) -> dict[str, Any]:
    """Return ``connection_settings`` for a server; a None leaves a key out."""
    given = server.keywords(**{"dbname": database, **over})
    return {key: value for key, value in given.items() if value is not None}


def write(path: Path, content: dict[str, Any]) -> Path:
    """Write a YAML file, of which JSON is a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


async def select(handle: Handle, query: str = "SELECT 1") -> Any:
    """Return the first value that a block of any type gets for a query."""
    if isinstance(handle, AsyncHandle | AsyncPoolHandle):
        async with handle as connection:
            row = await (await connection.execute(query.encode())).fetchone()
    else:
        with handle as plain:
            row = plain.execute(query.encode()).fetchone()
    return row[0] if row else None


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Return a function that makes a manager for a project with these sections."""
    managers: list[PGConnectionManager] = []

    def made(connection_settings: dict[str, Any], **sections: Any) -> PGConnectionManager:
        folder = tmp_path / f"project{len(managers)}" / "environments"
        write(folder / "base.yaml", {"connection_settings": connection_settings, **sections})
        write(folder / "test.yaml", {})
        managers.append(PGConnectionManager("test", project=folder.parent, environ={}))
        return managers[-1]

    yield made
    for manager in managers:
        manager.clear_cache()


@pytest.fixture
def manager(make: Make, server: Server, database: str) -> PGConnectionManager:
    """Return a manager for an empty database, with a table ``t (n int)``, and pools of up to 4."""
    server.sql("CREATE TABLE t (n int)", database)
    sizes = {"min_size": 1, "max_size": 4, "timeout": 10}
    return make(settings(server, database), pool_settings=sizes, async_pool_settings=sizes)
