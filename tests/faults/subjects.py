"""What is put under faults: pgstrata's pools and, to compare with, psycopg_pool's and pgmonkey's.

Each is opened with the same settings, and used in the same words: ``with borrow() as session``. An
asynchronous pool lives in an event loop of its own thread, and each block in it is one task more.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar, cast

import psycopg
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from pgstrata import PGConnectionManager

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")
GRACE = 1.0  # seconds that a pool of ours gives to what still runs when it ends
Settings: TypeAlias = dict[str, Any]  # connection_settings, pool_settings, session_settings ...


class Rows(Protocol):
    """What a statement returned."""

    def fetchone(self) -> tuple[Any, ...] | None:
        """Return the next row."""


class Session(Protocol):
    """A borrowed connection."""

    def execute(self, query: Any, params: Sequence[Any] = ()) -> Rows:
        """Run a statement."""


Borrow: TypeAlias = Callable[[], AbstractContextManager[Session]]
Subject: TypeAlias = Callable[[Settings], AbstractContextManager[Borrow]]


@contextmanager
def pool(settings: Settings) -> Iterator[Borrow]:
    """Give a pgstrata pool, asked for anew by each block."""
    manager = PGConnectionManager(environ={})
    try:
        with _written(settings) as file:
            yield lambda: manager.get_database_connection(
                file, "pool", resolve_env=True
            ).connection()
    finally:
        manager.shutdown(GRACE)


@contextmanager
def async_pool(settings: Settings) -> Iterator[Borrow]:
    """Give an asynchronous pgstrata pool, asked for anew by each block."""
    with async_blocks("async_pool", settings) as (loop, block):
        yield lambda: loop.block(block())


@contextmanager
def raw_pool(settings: Settings) -> Iterator[Borrow]:
    """Give a psycopg_pool with its own defaults."""
    with ConnectionPool(**_raw(settings), open=True) as opened:
        yield cast("Borrow", opened.connection)


@contextmanager
def raw_async_pool(settings: Settings) -> Iterator[Borrow]:
    """Give an asynchronous psycopg_pool with its own defaults."""
    with async_blocks("raw_async_pool", settings) as (loop, block):
        yield lambda: loop.block(block())


@contextmanager
def pgmonkey_pool(settings: Settings) -> Iterator[Borrow]:
    """Give a pgmonkey pool, asked for anew by each block; pgmonkey must be importable."""
    from pgmonkey import PGConnectionManager as Monkey  # type: ignore[import-not-found] # optional

    manager = Monkey()
    try:
        session = {"sync_settings": settings.get("session_settings", {})}
        with _written({"connection_type": "pool", **settings, **session}) as file:
            yield lambda: _monkey(manager.get_database_connection(file, "pool", resolve_env=True))
    finally:
        manager.clear_cache()


@contextmanager
def _monkey(connection: Any) -> Iterator[Session]:
    """Enter and leave pgmonkey's block, which gives cursors only."""
    with connection, connection.cursor() as cursor:
        yield cursor


@contextmanager
def async_blocks(subject: str, settings: Settings) -> Iterator[tuple[Loop, Callable[[], Any]]]:
    """Give the event loop of an asynchronous pool, and what makes its blocks."""
    with Loop() as loop:
        if subject == "raw_async_pool":
            opened = AsyncConnectionPool(**_raw(settings), open=False)
            loop.run(opened.open())
            try:
                yield loop, opened.connection
            finally:
                loop.run(opened.close())
            return
        manager = PGConnectionManager(environ={})
        try:
            given = {**settings, "async_pool_settings": settings.get("pool_settings", {})}
            with _written(given) as file:
                yield (
                    loop,
                    lambda: manager.get_database_connection(
                        file, "async_pool", resolve_env=True
                    ).connection(),
                )
        finally:
            loop.run(manager.shutdown_async(GRACE))


KINDS: dict[str, Subject] = {"pool": pool, "async_pool": async_pool}
SUBJECTS: dict[str, Subject] = {
    **KINDS,
    "raw_pool": raw_pool,
    "raw_async_pool": raw_async_pool,
    "pgmonkey": pgmonkey_pool,
}


@contextmanager
def _written(settings: Settings) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="pgstrata-faults-") as folder:
        file = Path(folder, "config.yaml")
        file.write_text(json.dumps(settings), encoding="utf-8")
        yield str(file)


def _raw(settings: Settings) -> dict[str, Any]:
    """Return the same for psycopg_pool, which has neither session settings nor references: a
    password that is in a file is read at each attempt, by its callable.
    """
    given = settings["connection_settings"]
    session = settings.get("session_settings", {})
    given = {**given, "options": " ".join(f"-c {key}={text}" for key, text in session.items())}
    password = given["password"]
    if isinstance(password, dict):
        file = Path(password["from_file"])
        kwargs: Any = lambda: {**given, "password": file.read_text()}  # noqa: E731 # both are given
    else:
        kwargs = given
    return {"kwargs": kwargs, **settings.get("pool_settings", {})}


class Loop:
    """An event loop in a thread of its own, which ends with the ``with`` block."""

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._end_tasks())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end_tasks(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def run(self, awaitable: Awaitable[T]) -> T:
        """Await something in the loop, from any other thread."""

        async def awaited() -> T:
            return await awaitable

        return asyncio.run_coroutine_threadsafe(awaited(), self._loop).result()

    @contextmanager
    def block(self, block: Any) -> Iterator[Session]:
        """Enter and leave an asynchronous block from another thread."""
        connection = self.run(block.__aenter__())
        try:
            yield _Session(self, connection)
        except BaseException as error:
            self.run(block.__aexit__(type(error), error, error.__traceback__))
            raise
        self.run(block.__aexit__(None, None, None))


class _Session:
    def __init__(self, loop: Loop, connection: psycopg.AsyncConnection) -> None:
        self._loop, self._connection = loop, connection

    def execute(self, query: Any, params: Sequence[Any] = ()) -> _Rows:
        return _Rows(
            self._loop, self._loop.run(self._connection.execute(query.encode(), params or None))
        )


class _Rows:
    def __init__(self, loop: Loop, cursor: psycopg.AsyncCursor[Any]) -> None:
        self._loop, self._cursor = loop, cursor

    def fetchone(self) -> tuple[Any, ...] | None:
        return self._loop.run(self._cursor.fetchone())
