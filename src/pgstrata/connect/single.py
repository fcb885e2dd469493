"""The handles that connect anew for each block."""

from __future__ import annotations

from collections.abc import Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from pgstrata.connect import lifecycle
from pgstrata.connect.async_connection import AsyncConnection
from pgstrata.connect.blocks import ENTERED, Enter, Exit
from pgstrata.connect.connection import Connection
from pgstrata.connect.failure import shut_down
from pgstrata.connect.plan import Plan

if TYPE_CHECKING:
    import psycopg
    from typing_extensions import Self


class NormalHandle:
    """A connection of its own for each block, made at its beginning and closed at its end."""

    connection_type: Literal["normal"] = "normal"

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._in_use: dict[Connection, None] = {}
        self._refuses = False
        lifecycle.watch(self)

    def connection(self) -> NormalBlock:
        """Return one block. Entering it raises ``ConnectionFailedError``."""
        return NormalBlock(self)

    def connect(self) -> Connection:
        """Return a new connection, which is in use until ``disconnect``."""
        if self._refuses:
            raise shut_down()
        connection = Connection.connect(made_with=self.plan.conninfo)
        self._in_use[connection] = None
        if self._refuses:  # since the attempt to connect began
            self.disconnect(connection)
            raise shut_down()
        return connection

    def disconnect(self, connection: Connection) -> None:
        """Close a connection."""
        self._in_use.pop(connection, None)
        connection.close()

    def forget(self, connection: Connection) -> None:
        """Close a connection whose user is gone, without a word to the server."""
        self._in_use.pop(connection, None)
        connection.pgconn.finish()

    def close(self) -> None:
        """Nothing is kept, so there is nothing to close."""

    def prepare(self, plan: Plan) -> None:
        """Nothing is kept that would have to be replaced."""

    def discard(self, _: object) -> None:
        """Nothing was prepared."""

    def replace(self, plan: Plan, _: object = None) -> None:
        """Go on with another plan."""
        self.plan = plan

    def refuse(self) -> None:
        """Make no connections any more."""
        self._refuses = True

    def in_use(self) -> int:
        """Return how many connections there are."""
        return len(self._in_use)

    def borrowed(self) -> list[Connection]:
        """Return the connections that there are."""
        return list(self._in_use)

    def after_fork(self) -> None:
        """Leave the parent's connections alone."""
        lifecycle.inherit(None, list(self._in_use))
        self._in_use = {}

    def at_exit(self) -> None:
        """Leave the connections to those who use them."""

    if TYPE_CHECKING:

        def __enter__(self) -> psycopg.Connection: ...
        def __exit__(
            self,
            kind: type[BaseException] | None,
            error: BaseException | None,
            trace: TracebackType | None,
        ) -> None: ...

    else:
        __enter__, __exit__ = Enter("__enter__"), Exit("__exit__")


class NormalBlock:
    """One block of a ``NormalHandle``."""

    __slots__ = ("_connection", "_handle")

    def __init__(self, handle: NormalHandle) -> None:
        self._handle = handle
        self._connection: Any = None

    def __enter__(self) -> psycopg.Connection:
        if self._connection is not None:
            raise RuntimeError(ENTERED)
        self._connection = connection = self._handle.connect()
        return connection

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        connection, self._connection = self._connection, None
        try:
            connection.__exit__(kind, error, trace)
        finally:
            self._handle.disconnect(connection)  # psycopg does not when its commit fails


class AsyncHandle:
    """The same, asynchronous. It may be awaited, which gives the handle itself."""

    connection_type: Literal["async"] = "async"

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._in_use: dict[AsyncConnection, None] = {}
        self._refuses = False
        lifecycle.watch(self)

    def connection(self) -> AsyncBlock:
        """Return one block. Entering it raises ``ConnectionFailedError``."""
        return AsyncBlock(self)

    async def connect(self) -> AsyncConnection:
        """Return a new connection, which is in use until ``disconnect``."""
        if self._refuses:
            raise shut_down()
        connection = await AsyncConnection.connect(made_with=self.plan.conninfo)
        self._in_use[connection] = None
        if self._refuses:  # since the attempt to connect began
            await self.disconnect(connection)
            raise shut_down()
        return connection

    async def disconnect(self, connection: AsyncConnection) -> None:
        """Close a connection."""
        self._in_use.pop(connection, None)
        await connection.close()

    def __await__(self) -> Generator[Any, None, Self]:
        return self._itself().__await__()

    async def _itself(self) -> Self:
        return self

    def forget(self, connection: AsyncConnection) -> None:
        """Close a connection whose user is gone, without a word to the server."""
        self._in_use.pop(connection, None)
        connection.pgconn.finish()

    def close(self) -> None:
        """Nothing is kept, so there is nothing to close."""

    async def aclose(self) -> None:
        """Nothing is kept, so there is nothing to close."""

    def prepare(self, plan: Plan) -> None:
        """Nothing is kept that would have to be replaced."""

    def discard(self, _: object) -> None:
        """Nothing was prepared."""

    def replace(self, plan: Plan, _: object = None) -> None:
        """Go on with another plan."""
        self.plan = plan

    def refuse(self) -> None:
        """Make no connections any more."""
        self._refuses = True

    def in_use(self) -> int:
        """Return how many connections there are."""
        return len(self._in_use)

    def borrowed(self) -> list[AsyncConnection]:
        """Return the connections that there are."""
        return list(self._in_use)

    def after_fork(self) -> None:
        """Leave the parent's connections alone."""
        lifecycle.inherit(None, list(self._in_use))
        self._in_use = {}

    def at_exit(self) -> None:
        """Leave the connections to those who use them."""

    if TYPE_CHECKING:

        async def __aenter__(self) -> psycopg.AsyncConnection: ...
        async def __aexit__(
            self,
            kind: type[BaseException] | None,
            error: BaseException | None,
            trace: TracebackType | None,
        ) -> None: ...

    else:
        __aenter__, __aexit__ = Enter("__aenter__"), Exit("__aexit__")


class AsyncBlock:
    """One block of an ``AsyncHandle``."""

    __slots__ = ("_connection", "_handle")

    def __init__(self, handle: AsyncHandle) -> None:
        self._handle = handle
        self._connection: Any = None

    async def __aenter__(self) -> psycopg.AsyncConnection:
        if self._connection is not None:
            raise RuntimeError(ENTERED)
        self._connection = connection = await self._handle.connect()
        return connection

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        connection, self._connection = self._connection, None
        try:
            await connection.__aexit__(kind, error, trace)
        finally:
            await self._handle.disconnect(connection)  # psycopg does not, as above
