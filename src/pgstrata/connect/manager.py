"""The connection manager: one handle for each target and type, made once however many ask."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from pgstrata.connect.async_connection import AsyncConnection
from pgstrata.connect.attempt import keywords
from pgstrata.connect.cancelling import CANCEL_SECONDS, cancel
from pgstrata.connect.connection import Connection
from pgstrata.connect.conninfo import ConnectionType, Conninfo, conninfo
from pgstrata.connect.handles import AsyncHandle, AsyncPoolHandle, Handle, NormalHandle, PoolHandle
from pgstrata.connect.lifecycle import Borrowed, lend
from pgstrata.connect.meter import Listener
from pgstrata.connect.pgmonkey import PathLike, PgmonkeyCalls
from pgstrata.connect.stats import Stats, stats
from pgstrata.model import Config

if TYPE_CHECKING:
    import psycopg
    from typing_extensions import Self

GRACE = 10.0
_POLL = 0.01  # seconds between looks at what is still in use, so that giving back costs nothing


class PGConnectionManager(PgmonkeyCalls):
    """Connections of one environment, by type.

    ``env``, ``project`` and ``environ`` are those of ``pgstrata.load``; the environment is loaded
    when it is first needed, and once. Calls that name a file or a dictionary need none of them.

    A manager may be shared between threads and event loops, and inherited by a forked process,
    which gets connections of its own. It closes its pools when it and its handles are no longer
    referenced, and when the program ends. As a context manager, it is shut down at the end.
    """

    def __init__(
        self,
        env: str | None = None,
        *,
        project: PathLike | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(env, Path(project) if project is not None else None, environ)

    @property
    def config(self) -> Config:
        """The loaded environment. Raises what ``pgstrata.load`` raises."""
        return self._environment().config

    def normal(self, connection: str = "default") -> NormalHandle:
        """Return the handle that connects anew for each block."""
        known: NormalHandle | None = self._cache.ready.get((connection, "normal"))
        return known or cast("NormalHandle", self._made(connection, "normal"))

    def pool(self, connection: str = "default") -> PoolHandle:
        """Return the handle whose blocks borrow from a pool."""
        known: PoolHandle | None = self._cache.ready.get((connection, "pool"))
        return known or cast("PoolHandle", self._made(connection, "pool"))

    def async_(self, connection: str = "default") -> AsyncHandle:
        """Return the asynchronous handle that connects anew for each block."""
        known: AsyncHandle | None = self._cache.ready.get((connection, "async"))
        return known or cast("AsyncHandle", self._made(connection, "async"))

    def async_pool(self, connection: str = "default") -> AsyncPoolHandle:
        """Return the asynchronous handle whose blocks borrow from a pool."""
        known: AsyncPoolHandle | None = self._cache.ready.get((connection, "async_pool"))
        return known or cast("AsyncPoolHandle", self._made(connection, "async_pool"))

    def connect(self, connection: str = "default") -> psycopg.Connection:
        """Return a new connection that the caller closes, for libraries with pools of their own.

        ``shutdown`` does not wait for it, nor end it. In a forked child it is closed, and what it
        still runs when the program ends is cancelled. Raises ``ConnectionFailedError``.
        """
        return lend(Connection.connect(made_with=self._conninfo(connection, "normal")))

    async def connect_async(self, connection: str = "default") -> psycopg.AsyncConnection:
        """Return a new asynchronous connection that the caller closes."""
        return lend(await AsyncConnection.connect(made_with=self._conninfo(connection, "async")))

    def keywords(self, connection: str = "default") -> dict[str, Any]:
        """Return what ``psycopg.connect`` takes, for libraries that connect by themselves.

        Secrets are in it in clear: give it to the library, and nobody else. Not in it is what
        psycopg knows nothing of: ``client_deadline``, and session settings where a pooler is named,
        which are set when a connection is open. Raises ``ConfigError``.
        """
        return keywords(self._conninfo(connection, "normal"))

    def _conninfo(self, connection: str, connection_type: ConnectionType) -> Conninfo:
        self._cache.admit()
        return conninfo(self.config, connection, connection_type, named=True)

    def _made(self, connection: str, connection_type: str) -> Any:
        return self._cache.handle(self._environment(), connection, connection_type)

    def stats(self) -> Stats:
        """Return what the pools count, as values that stay as they are. It waits for nobody, and
        opens nothing.
        """
        return stats(self._cache.handles())

    def listen(self, listener: Listener) -> None:
        """Have ``listener(kind, pool, seconds)`` called for each duration that a pool measures:
        ``wait`` for a connection, ``use`` of it, and ``create``, making one.

        It is called by the borrower's thread at each checkout and return, so it must be quick, and
        must not raise.
        """
        self._cache.listen(listener)

    def reload(self) -> None:
        """Read all configurations again, and go over to what has changed, without losing a request.

        A handle stays the same object. A new pool is open before the old one closes; what is
        borrowed from the old one is finished with, and who waits there gets a connection of the new
        one. Where any of the new settings does not load or does not connect, all stays as it was,
        and ``ConfigError`` or ``ConnectionFailedError`` tells why. In an event loop call it by
        ``asyncio.to_thread``.
        """
        self._cache.reload()

    def shutdown(self, grace: float = GRACE) -> None:
        """Give out no connections any more, wait up to ``grace`` seconds for those in use, cancel
        what then still runs on the server, and close everything.

        Whoever asks for a connection from now on gets ``ShutDownError``.
        """
        handles = self._cache.refuse()
        for pause in _until_free(handles, grace):
            time.sleep(pause)
        until = time.monotonic() + CANCEL_SECONDS
        cancel(_borrowed(handles))
        for pause in _until_free(handles, until - time.monotonic()):
            time.sleep(pause)
        for handle in handles:
            handle.close()
        self._cache.clear()

    async def shutdown_async(self, grace: float = GRACE) -> None:
        """Do the same while the running event loop goes on, and wait for its pools to close."""
        handles = self._cache.refuse()
        for pause in _until_free(handles, grace):
            await asyncio.sleep(pause)
        until = time.monotonic() + CANCEL_SECONDS
        with ThreadPoolExecutor(1) as own:  # those of the loop may wait for what is cancelled
            await asyncio.get_running_loop().run_in_executor(own, cancel, _borrowed(handles))
        for pause in _until_free(handles, until - time.monotonic()):
            await asyncio.sleep(pause)
        pools = [handle for handle in handles if isinstance(handle, AsyncPoolHandle)]
        await asyncio.gather(*(handle.aclose() for handle in pools))
        for handle in handles:
            handle.close()
        self._cache.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shutdown()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.shutdown_async()


def _until_free(handles: list[Handle], seconds: float) -> Iterator[float]:
    """Yield pauses until nothing is in use, or cannot be waited for any more."""
    until = time.monotonic() + seconds
    while any(handle.in_use() for handle in handles) and time.monotonic() < until:
        yield _POLL


def _borrowed(handles: list[Handle]) -> list[Borrowed]:
    return [connection for handle in handles for connection in handle.borrowed()]
