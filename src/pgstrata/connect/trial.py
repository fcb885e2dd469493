"""A real connection of each type: to what it leads, as whom, and how long it takes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import perf_counter
from typing import Any, TypeAlias

from pgstrata.connect.handles import AsyncHandle, AsyncPoolHandle, NormalHandle, PoolHandle
from pgstrata.connect.manager import PGConnectionManager
from pgstrata.errors import PgstrataError

Row: TypeAlias = tuple[Any, ...]

_QUERY = """
SELECT current_database(), current_user, current_setting('server_version'),
       coalesce(host(inet_server_addr()) || ':' || inet_server_port(), 'socket'),
       (SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid())
"""


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of connecting. ``seconds`` is from the start to the answer of a first query."""

    connection_type: str
    seconds: float
    server: str = ""
    database: str = ""
    user: str = ""
    version: str = ""
    tls: str = ""
    error: PgstrataError | None = None


def attempt(manager: PGConnectionManager, connection_type: str, connection: str) -> Trial:
    """Connect, ask the server who it is, and disconnect. A failure is part of what is returned.

    Raises ``ConfigError`` where the configuration does not even allow an attempt.
    """
    began = perf_counter()
    handle = manager.get_database_connection(connection_type=connection_type, connection=connection)
    try:
        if isinstance(handle, AsyncHandle | AsyncPoolHandle):
            row = asyncio.run(_ask_async(handle))
        else:
            row = _ask(handle)
    except PgstrataError as error:
        return Trial(connection_type, perf_counter() - began, error=error)
    database, user, version, server, tls = row
    return Trial(
        connection_type, perf_counter() - began, server, database, user, version, tls or ""
    )


def _ask(handle: NormalHandle | PoolHandle) -> Row:
    with handle as connection:
        row = connection.execute(_QUERY).fetchone()
    handle.close()
    assert row is not None
    return row


async def _ask_async(handle: AsyncHandle | AsyncPoolHandle) -> Row:
    async with handle as connection:
        row = await (await connection.execute(_QUERY)).fetchone()
    await handle.aclose()
    assert row is not None
    return row
