"""A real connection of each type: to what it leads, as whom, and how long it takes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import perf_counter
from typing import TypeAlias

import psycopg

from pgstrata.connect.failure import ConnectionFailedError
from pgstrata.connect.handles import AsyncHandle, AsyncPoolHandle, Handle, NormalHandle, PoolHandle
from pgstrata.connect.manager import PGConnectionManager
from pgstrata.errors import ConfigError, PgstrataError

Row: TypeAlias = tuple[str, str, str, str, str]  # server, then the columns of _QUERY

_QUERY = """
SELECT current_database(), current_user, current_setting('server_version'),
       coalesce((SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()), '')
"""


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of connecting. ``seconds`` is from the start to the answer of a first query.

    ``server`` is the host that libpq connected to, ``tls`` the version of TLS, or empty without.
    """

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
    return attempt_with(
        manager.get_database_connection(connection_type=connection_type, connection=connection)
    )


def attempt_with(handle: Handle) -> Trial:
    """Do the same with a handle."""
    connection_type = handle.connection_type
    began = perf_counter()
    try:
        if isinstance(handle, AsyncHandle | AsyncPoolHandle):
            row = asyncio.run(_ask_async(handle))
        else:
            row = _ask(handle)
    except ConfigError:
        raise
    except PgstrataError as error:
        return Trial(connection_type, perf_counter() - began, error=error)
    except psycopg.Error as error:
        return Trial(connection_type, perf_counter() - began, error=_refused(error))
    return Trial(connection_type, perf_counter() - began, *row)


def _refused(error: psycopg.Error) -> ConnectionFailedError:
    return ConnectionFailedError(f"connected, but a first query failed: {error}")


def _ask(handle: NormalHandle | PoolHandle) -> Row:
    try:
        with handle as connection:
            database, user, version, tls = connection.execute(_QUERY).fetchone() or ("",) * 4
            return _server(connection.info), database, user, version, tls
    finally:
        handle.close()


async def _ask_async(handle: AsyncHandle | AsyncPoolHandle) -> Row:
    try:
        async with handle as connection:
            cursor = await connection.execute(_QUERY)
            database, user, version, tls = await cursor.fetchone() or ("",) * 4
            return _server(connection.info), database, user, version, tls
    finally:
        await handle.aclose()


def _server(info: psycopg.ConnectionInfo) -> str:
    host = f"[{info.host}]" if ":" in info.host else info.host
    return f"{host}:{info.port}"
