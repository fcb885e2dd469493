"""pgmonkey's connection objects: one shared object with the methods of a connection.

Whoever calls ``cursor`` or ``commit`` on a shared object means a connection of their own: that of
the innermost block in the same thread or task, or else one that is kept for this thread or task
until ``disconnect``. What a block yields is bound to the block's connection, wherever it is used,
and ends with it: a rollback after the block cannot reach a connection that others use by then.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import weakref
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from psycopg.pq import TransactionStatus

from pgstrata.connect import lifecycle
from pgstrata.connect.blocks import Enter, Exit
from pgstrata.connect.handles import AsyncHandle, AsyncPoolHandle, Handle, NormalHandle, PoolHandle
from pgstrata.model import Secret
from pgstrata.pgmonkey.view import AsyncView, View, innermost

if TYPE_CHECKING:
    from typing_extensions import Self

logger = logging.getLogger("pgstrata.pgmonkey")


class _Kept(NamedTuple):
    """A connection of one thread or task, and what closes it when that one has ended."""

    connection: Any
    closing: weakref.finalize[..., Any]


class _Shared:
    """What both kinds have in common: everything that needs no connection."""

    def __init__(self, handle: Handle) -> None:
        self._given = handle
        self._kept: weakref.WeakKeyDictionary[object, _Kept] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()
        lifecycle.watch(self)

    def after_fork(self) -> None:
        """Leave the parent's connections alone, and have a lock that none of its threads holds."""
        self._lock = threading.Lock()
        self._kept = weakref.WeakKeyDictionary()

    def borrowed(self) -> tuple[()]:
        """Leave it to the handle, which knows what is borrowed from it."""
        return ()

    def at_exit(self) -> None:
        """Leave it to the finalizers, which close all that is kept."""

    @property
    def connection_type(self) -> str:
        """One of ``normal``, ``pool``, ``async`` and ``async_pool``."""
        return self._given.connection_type

    @property
    def config(self) -> dict[str, str | Secret]:
        """The keywords that psycopg connects with; secrets among them show themselves only to
        ``reveal()``.
        """
        return dict(self._given.plan.conninfo.keywords)

    @property
    def pool(self) -> Any:
        """psycopg_pool's own pool, opened if need be; None for a type without."""
        return getattr(self._given, "pool", None)

    @property
    def connection(self) -> Any:
        """The psycopg connection that is in use here: that of the innermost block in this thread or
        task, or the one that is kept for it. None where there is none.
        """
        view = innermost(self)
        if view is not None:
            return view.connection
        kept = self._kept.get(_here())
        return kept.connection if kept is not None and not kept.connection.closed else None

    def _keep(self, connection: Any) -> None:
        here = _here()
        closing = weakref.finalize(here, _gone, self._given, connection, os.getpid())
        with self._lock:
            self._kept[here] = _Kept(connection, closing)

    def _take(self) -> Any:
        """Return the connection that is kept here, and keep it no longer; None if there is none."""
        with self._lock:
            kept = self._kept.pop(_here(), None)
        if kept is None:
            return None
        kept.closing.detach()
        return None if kept.connection.closed else kept.connection

    def abandon(self) -> None:
        """Close all that is kept, for whichever thread or task."""
        with self._lock:
            everything = list(self._kept.values())
            self._kept.clear()
        for kept in everything:
            kept.closing()


def _here() -> object:
    """Return the running task, or else the thread."""
    try:
        return asyncio.current_task() or threading.current_thread()
    except RuntimeError:  # there is no event loop here
        return threading.current_thread()


def _gone(handle: Any, connection: Any, process: int) -> None:
    """Close a connection whose thread or task has ended. Nobody can commit it any more.

    A child has none of its parent's threads; they go on with their connections all the same.
    """
    if process != os.getpid():
        return
    if not connection.closed and connection.pgconn.transaction_status != TransactionStatus.IDLE:
        logger.warning("a thread or task ended without a commit: what it did is rolled back")
    handle.forget(connection)


class PGConnection(_Shared):
    """A ``normal`` or ``pool`` connection object, which threads may share."""

    def __init__(self, handle: NormalHandle | PoolHandle) -> None:
        super().__init__(handle)
        self.handle = handle
        self._in_transaction: set[object] = set()

    def connect(self) -> None:
        """Connect, or open the pool. Raises ``ConnectionFailedError``."""
        if isinstance(self.handle, PoolHandle):
            self.handle.open()
        elif self.connection is None:
            self._keep(self.handle.connect())

    def disconnect(self) -> None:
        """Close the connection that is kept for this thread, or the pool. Both may be used again,
        which connects anew.
        """
        if isinstance(self.handle, PoolHandle):
            self.handle.close()
        elif (connection := self._take()) is not None:
            self.handle.disconnect(connection)

    def test_connection(self) -> None:
        """Connect and ask a question. Raises ``ConnectionFailedError``, or psycopg's error."""
        with self.handle.connection() as connection:
            connection.execute("SELECT 1")
        logger.info("the connection works")

    def commit(self) -> None:
        """Commit what was done here; without a connection there is nothing to commit."""
        if (connection := self.connection) is not None:
            connection.commit()

    def rollback(self) -> None:
        """Roll back what was done here."""
        if (connection := self.connection) is not None:
            connection.rollback()

    def cursor(self, *arguments: Any, **options: Any) -> Any:
        """Return psycopg's cursor. Outside of a block, that of a pool is for ``with`` alone, and
        its end commits.
        """
        if self.connection is None and isinstance(self.handle, PoolHandle):
            return self._borrowed_cursor(*arguments, **options)
        self.connect()
        return self.connection.cursor(*arguments, **options)

    @contextmanager
    def _borrowed_cursor(self, *arguments: Any, **options: Any) -> Iterator[Any]:
        with self.block() as view, view.cursor(*arguments, **options) as cursor:
            yield cursor

    @contextmanager
    def transaction(self) -> Iterator[Self]:
        """Begin a transaction, or within one a savepoint, and yield this object. The end of the
        outermost commits.
        """
        if self.connection is None and isinstance(self.handle, PoolHandle):
            with self.block() as view, view.transaction():
                yield self
            return
        self.connect()
        connection = self.connection
        outermost = innermost(self) is None and connection not in self._in_transaction
        self._in_transaction.add(connection)
        try:
            with connection.transaction():
                yield self
            if outermost:
                connection.commit()  # statements before it made it a savepoint
        finally:
            if outermost:
                self._in_transaction.discard(connection)

    def block(self) -> Block:
        """Return one block, as ``with`` on this object is."""
        return Block(self)

    @contextmanager
    def connected(self) -> Iterator[psycopg.Connection]:
        """Yield the connection of a block: the one that is kept here, or else a new one."""
        if isinstance(self.handle, PoolHandle) or (connection := self._take()) is None:
            with self.handle.connection() as borrowed:
                yield borrowed
            return
        try:
            with connection:
                yield connection
        finally:
            self.handle.disconnect(connection)

    if TYPE_CHECKING:

        def __enter__(self) -> View: ...
        def __exit__(
            self,
            kind: type[BaseException] | None,
            error: BaseException | None,
            trace: TracebackType | None,
        ) -> None: ...

    else:
        __enter__ = Enter("__enter__", begin="block")
        __exit__ = Exit("__exit__")


class Block:
    """One block of a ``PGConnection``."""

    __slots__ = ("_connected", "_shared", "_view")

    def __init__(self, shared: PGConnection) -> None:
        self._shared = shared

    def __enter__(self) -> View:
        self._connected = self._shared.connected()
        self._view = View(self._shared, self._connected.__enter__())
        return self._view.begun()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._view.end()
        self._connected.__exit__(kind, error, trace)


class PGAsyncConnection(_Shared):
    """An ``async`` or ``async_pool`` connection object, which tasks may share. It may be awaited,
    which gives the object itself, with the pool of this event loop open.
    """

    def __init__(self, handle: AsyncHandle | AsyncPoolHandle) -> None:
        super().__init__(handle)
        self.handle = handle

    def __await__(self) -> Generator[Any, None, Self]:
        return self._itself().__await__()

    async def _itself(self) -> Self:
        await self.handle
        return self

    async def connect(self) -> None:
        """Connect, or open the pool. Raises ``ConnectionFailedError``."""
        if isinstance(self.handle, AsyncPoolHandle):
            await self.handle.open()
        elif self.connection is None:
            self._keep(await self.handle.connect())

    async def disconnect(self) -> None:
        """Close the connection that is kept for this task, or the pools. Both may be used again,
        which connects anew.
        """
        if isinstance(self.handle, AsyncPoolHandle):
            await self.handle.aclose()
        elif (connection := self._take()) is not None:
            await self.handle.disconnect(connection)

    async def test_connection(self) -> None:
        """Connect and ask a question. Raises ``ConnectionFailedError``, or psycopg's error."""
        async with self.handle.connection() as connection:
            await connection.execute("SELECT 1")
        logger.info("the connection works")

    async def commit(self) -> None:
        """Commit what was done here; without a connection there is nothing to commit."""
        if (connection := self.connection) is not None:
            await connection.commit()

    async def rollback(self) -> None:
        """Roll back what was done here."""
        if (connection := self.connection) is not None:
            await connection.rollback()

    @asynccontextmanager
    async def cursor(self, *arguments: Any, **options: Any) -> AsyncIterator[Any]:
        """Yield psycopg's cursor. Outside of a block, the end of that of a pool commits."""
        if self.connection is None and isinstance(self.handle, AsyncPoolHandle):
            async with self.block() as view, view.cursor(*arguments, **options) as cursor:
                yield cursor
            return
        await self.connect()
        async with self.connection.cursor(*arguments, **options) as cursor:
            yield cursor

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Self]:
        """Begin a transaction, or within one a savepoint, and yield this object."""
        if self.connection is None and isinstance(self.handle, AsyncPoolHandle):
            async with self.block() as view, view.transaction():
                yield self
            return
        await self.connect()
        async with self.connection.transaction():
            yield self

    def block(self) -> AsyncBlock:
        """Return one block, as ``async with`` on this object is."""
        return AsyncBlock(self)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[psycopg.AsyncConnection]:
        """Yield the connection of a block: the one that is kept here, or else a new one."""
        if isinstance(self.handle, AsyncPoolHandle) or (connection := self._take()) is None:
            async with self.handle.connection() as borrowed:
                yield borrowed
            return
        try:
            async with connection:
                yield connection
        finally:
            await self.handle.disconnect(connection)

    if TYPE_CHECKING:

        async def __aenter__(self) -> AsyncView: ...
        async def __aexit__(
            self,
            kind: type[BaseException] | None,
            error: BaseException | None,
            trace: TracebackType | None,
        ) -> None: ...

    else:
        __aenter__ = Enter("__aenter__", begin="block")
        __aexit__ = Exit("__aexit__")


class AsyncBlock:
    """One block of a ``PGAsyncConnection``."""

    __slots__ = ("_connected", "_shared", "_view")

    def __init__(self, shared: PGAsyncConnection) -> None:
        self._shared = shared

    async def __aenter__(self) -> AsyncView:
        self._connected = self._shared.connected()
        self._view = AsyncView(self._shared, await self._connected.__aenter__())
        return self._view.begun()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._view.end()
        await self._connected.__aexit__(kind, error, trace)
