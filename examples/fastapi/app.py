"""A ledger over HTTP with FastAPI: asynchronous and synchronous paths on one environment."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated
from uuid import UUID

import psycopg
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse

from pgstrata import PGConnectionManager, PoolHandle


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Begin with a pool that works; end when the requests that still run have ended."""
    async with PGConnectionManager() as manager:
        app.state.manager = manager
        await manager.async_pool().open()
        yield


async def a_connection(request: Request) -> AsyncIterator[psycopg.AsyncConnection]:
    """Yield a connection for one request, which commits before the answer is sent."""
    async with request.app.state.manager.async_pool() as connection:
        yield connection


def a_database(request: Request) -> PoolHandle:
    """Return what a synchronous path borrows a connection from."""
    pool: PoolHandle = request.app.state.manager.pool()
    return pool


# "function", because by default a dependency ends, and so commits, after the answer was sent.
Connection = Annotated[psycopg.AsyncConnection, Depends(a_connection, scope="function")]
Database = Annotated[PoolHandle, Depends(a_database)]
app = FastAPI(lifespan=lifespan)


@app.exception_handler(psycopg.OperationalError)
async def unavailable(_: Request, __: Exception) -> JSONResponse:
    """Tell the client to come again: the server is away, or every connection is in use."""
    return JSONResponse({"error": "database unavailable"}, 503, {"Retry-After": "1"})


@app.put("/entries/{entry}")
async def put(entry: UUID, amount: int, connection: Connection) -> dict[str, int]:
    """Add an entry; the same one again changes nothing, so that a client may repeat it."""
    await connection.execute(
        "INSERT INTO ledger VALUES (%s, %s) ON CONFLICT DO NOTHING", (entry, amount)
    )
    return {"amount": amount}


@app.get("/total")
def total(database: Database) -> dict[str, int]:
    """Return the sum of all entries, from a plain function in a thread."""
    with database as connection:
        row = connection.execute("SELECT coalesce(sum(amount), 0) FROM ledger").fetchone()
    return {"total": row[0] if row else 0}
