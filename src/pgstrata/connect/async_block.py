"""One block that borrows from an asynchronous pool."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

from psycopg_pool import PoolClosed

from pgstrata.connect.async_connection import AsyncConnection
from pgstrata.connect.blocks import ENTERED
from pgstrata.connect.state import untouched

if TYPE_CHECKING:
    import psycopg

    from pgstrata.connect.async_pooled import AsyncPoolHandle


class AsyncPoolBlock:
    """One block of an ``AsyncPoolHandle``."""

    __slots__ = ("_connection", "_handle", "_pool")

    def __init__(self, handle: AsyncPoolHandle) -> None:
        self._handle = handle
        self._connection: Any = None

    async def __aenter__(self) -> psycopg.AsyncConnection:
        if self._connection is not None:
            raise RuntimeError(ENTERED)
        self._pool = pool = await self._handle.open()
        try:
            connection = await pool.getconn()
        except PoolClosed:
            if not self._handle.replaced(pool):
                raise
        else:
            self._connection = connection
            return connection
        return await self.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        connection, self._connection = self._connection, None
        try:
            if kind is not None or not untouched(connection):
                await self._end(connection, kind, error, trace)
        finally:
            await self._pool.putconn(connection)

    async def _end(self, connection: AsyncConnection, kind: Any, error: Any, trace: Any) -> None:
        try:
            if kind is not None:
                await connection.__aexit__(kind, error, trace)
            elif not connection.closed:
                await connection.commit()
        finally:
            if connection.closed:
                self._pool.lost()
