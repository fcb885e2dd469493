"""The handles that connect anew for each block."""

from __future__ import annotations

from collections.abc import Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from pgstrata.connect.blocks import Enter, Exit
from pgstrata.connect.connection import AsyncConnection, Connection
from pgstrata.connect.plan import Plan

if TYPE_CHECKING:
    import psycopg
    from typing_extensions import Self


class NormalHandle:
    """A connection of its own for each block, made at its beginning and closed at its end."""

    connection_type: Literal["normal"] = "normal"

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def connection(self) -> NormalBlock:
        """Return one block. Entering it raises ``ConnectionFailedError``."""
        return NormalBlock(self._plan)

    def close(self) -> None:
        """Nothing is kept, so there is nothing to close."""

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

    __slots__ = ("_connection", "_plan")

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def __enter__(self) -> psycopg.Connection:
        self._connection = Connection.connect(made_with=self._plan.conninfo)
        return self._connection

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._connection.__exit__(kind, error, trace)
        finally:
            self._connection.close()  # psycopg leaves it open when its commit fails


class AsyncHandle:
    """The same, asynchronous. It may be awaited, which gives the handle itself."""

    connection_type: Literal["async"] = "async"

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def connection(self) -> AsyncBlock:
        """Return one block. Entering it raises ``ConnectionFailedError``."""
        return AsyncBlock(self._plan)

    def __await__(self) -> Generator[Any, None, Self]:
        return self._itself().__await__()

    async def _itself(self) -> Self:
        return self

    def close(self) -> None:
        """Nothing is kept, so there is nothing to close."""

    async def aclose(self) -> None:
        """Nothing is kept, so there is nothing to close."""

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

    __slots__ = ("_connection", "_plan")

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    async def __aenter__(self) -> psycopg.AsyncConnection:
        self._connection = await AsyncConnection.connect(made_with=self._plan.conninfo)
        return self._connection

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self._connection.__aexit__(kind, error, trace)
        finally:
            await self._connection.close()  # psycopg leaves it open when its commit fails
