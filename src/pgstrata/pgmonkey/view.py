"""What a block of pgmonkey's connection object yields."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from typing_extensions import Self

_OF_THE_OBJECT = ("config", "connect", "connection_type", "disconnect", "pool", "test_connection")

_entered: ContextVar[tuple[_View, ...]] = ContextVar("entered", default=())


def innermost(shared: object) -> _View | None:
    """Return what the innermost block of a shared object has yielded in this thread or task."""
    views = (view for view in reversed(_entered.get()) if view.shared is shared)
    return next((view for view in views if view.connection is not None), None)


class _View:
    """The psycopg connection of a block, by all its names, until the block's end."""

    shared: object
    connection: Any

    def __init__(self, shared: object, connection: Any) -> None:
        self.__dict__.update(shared=shared, connection=connection)

    def __getattribute__(self, name: str) -> Any:
        if name in _OF_THE_OBJECT:  # psycopg's connection has a connect too
            return getattr(self.shared, name)
        return super().__getattribute__(name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._open(name), name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._open(name), name, value)

    def _open(self, name: str) -> Any:
        if self.connection is None:
            raise psycopg.InterfaceError(f"the block has ended, and {name} needs its connection")
        return self.connection

    def begun(self) -> Self:
        """Be the innermost block of this thread or task."""
        _entered.set((*_entered.get(), self))
        return self

    def end(self) -> None:
        """Let go of the connection. It may be another thread that does."""
        self.__dict__["connection"] = None
        _entered.set(tuple(view for view in _entered.get() if view is not self))


class View(_View):
    """The connection of a block of ``normal`` or ``pool``, with pgmonkey's meaning of its methods.

    After the block there is nothing to commit or roll back, and both do nothing.
    """

    def commit(self) -> None:
        """Commit what the block did so far."""
        if self.connection is not None:
            self.connection.commit()

    def rollback(self) -> None:
        """Roll back what the block did since it began or committed."""
        if self.connection is not None:
            self.connection.rollback()

    @contextmanager
    def transaction(self) -> Iterator[Self]:
        """Begin a transaction, or within one a savepoint, and yield this object."""
        with self._open("transaction").transaction():
            yield self


class AsyncView(_View):
    """The same for ``async`` and ``async_pool``."""

    async def commit(self) -> None:
        """Commit what the block did so far."""
        if self.connection is not None:
            await self.connection.commit()

    async def rollback(self) -> None:
        """Roll back what the block did since it began or committed."""
        if self.connection is not None:
            await self.connection.rollback()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Self]:
        """Begin a transaction, or within one a savepoint, and yield this object."""
        async with self._open("transaction").transaction():
            yield self
