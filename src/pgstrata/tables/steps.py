"""Sync and async without writing anything twice.

A transfer is a generator that *yields* what it needs done and is sent the answer; it does no I/O of
its own. ``run`` does these things on a ``psycopg.Connection``, ``run_async`` on a
``psycopg.AsyncConnection``. An exception is thrown back into the generator at the ``yield`` that
caused it, so ``try``/``except`` around a ``yield`` rolls back as it would around a call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from inspect import GEN_SUSPENDED, getgeneratorstate
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

if TYPE_CHECKING:
    from psycopg.abc import PQGen
    from typing_extensions import LiteralString

T = TypeVar("T")
AnyConnection: TypeAlias = "psycopg.Connection[Any] | psycopg.AsyncConnection[Any]"
_INTERVAL = 0.01  # seconds that a wait for much goes on when less is there; see wire.read
Text: TypeAlias = "LiteralString | sql.SQL | sql.Composed"


class Query(NamedTuple):
    """Run a statement; the answer is its rows as tuples, or an empty list."""

    connection: AnyConnection
    text: Text
    parameters: Sequence[Any] | None = None


class Describe(NamedTuple):
    """Run a query for the columns it has; the answer is their names and type oids."""

    connection: AnyConnection
    text: Text


class Wire(NamedTuple):
    """Drive a generator over libpq's own functions; the answer is what it returns."""

    connection: AnyConnection
    generator: PQGen[Any]


class Cancel(NamedTuple):
    """Ask the server to stop what the connection is doing."""

    connection: AnyConnection


class Local(NamedTuple):
    """Call a function that may block on a file or on the processor."""

    call: Callable[[], Any]


class Together(NamedTuple):
    """Run several generators at the same time; the answer is their results or exceptions.

    ``stop`` is called on Ctrl-C, which reaches none of them, and has to make them end.
    """

    lanes: Sequence[Generator[Any, Any, Any]]
    stop: Callable[[], None] = lambda: None


Step: TypeAlias = "Query | Describe | Wire | Cancel | Local | Together"
Steps: TypeAlias = Generator[Step, Any, T]


def query(connection: AnyConnection, text: Text, *parameters: Any) -> Steps[list[tuple[Any, ...]]]:
    """Run a statement and return its rows."""
    rows: list[tuple[Any, ...]] = yield Query(connection, text, parameters or None)
    return rows


def run(steps: Steps[T]) -> T:
    """Do all the steps, blocking, and return what the generator returns."""
    try:
        return _run(steps, steps.__next__)
    except KeyboardInterrupt as error:
        if getgeneratorstate(steps) != GEN_SUSPENDED:
            raise
        # Ctrl-C came between two steps, where the generator did not hear of it.
        return _run(steps, _thrower(steps, error))


def _run(steps: Steps[T], advance: Callable[[], Step]) -> T:
    while True:
        try:
            step = advance()
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # the generator's own T
        try:
            reply = _perform(step)
        except BaseException as error:  # noqa: BLE001  # even Ctrl-C has to reach the rollback
            advance = _thrower(steps, error)
        else:
            advance = _sender(steps, reply)


async def run_async(steps: Steps[T]) -> T:
    """Do all the steps on asynchronous connections; files are read in threads."""
    advance = steps.__next__
    while True:
        try:
            step = advance()
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # the generator's own T
        try:
            reply = await _perform_async(step)
        except BaseException as error:  # noqa: BLE001  # a cancellation rolls back too
            advance = _thrower(steps, error)
        else:
            advance = _sender(steps, reply)


def _sender(steps: Steps[T], reply: Any) -> Callable[[], Step]:
    return lambda: steps.send(reply)


def _thrower(steps: Steps[T], error: BaseException) -> Callable[[], Step]:
    return lambda: steps.throw(error)


def _perform(step: Step) -> Any:
    if isinstance(step, Local):
        return step.call()
    if isinstance(step, Together):
        with ThreadPoolExecutor(len(step.lanes)) as threads:
            lanes = threads.map(_outcome, step.lanes)
            try:
                return list(lanes)
            except BaseException:
                step.stop()
                raise
    connection = step.connection
    if isinstance(connection, psycopg.AsyncConnection):
        raise TypeError("an asynchronous connection needs the asynchronous function")
    if isinstance(step, Cancel):
        return connection.cancel_safe()
    if isinstance(step, Wire):
        with connection.lock:
            return connection.wait(step.generator, _INTERVAL)
    with connection.cursor(row_factory=tuple_row) as cursor:
        if isinstance(step, Describe):
            return _columns(cursor.execute(_as_query(step.text)))
        cursor.execute(_as_query(step.text), step.parameters)
        return cursor.fetchall() if cursor.description else []


async def _perform_async(step: Step) -> Any:
    if isinstance(step, Local):
        return await _in_thread(step.call)
    if isinstance(step, Together):
        return await asyncio.gather(*map(run_async, step.lanes), return_exceptions=True)
    connection = step.connection
    if isinstance(connection, psycopg.Connection):
        raise TypeError("a blocking connection needs the blocking function")
    if isinstance(step, Cancel):
        return await connection.cancel_safe()
    if isinstance(step, Wire):
        async with connection.lock:
            return await connection.wait(step.generator, _INTERVAL)
    async with connection.cursor(row_factory=tuple_row) as cursor:
        if isinstance(step, Describe):
            return _columns(await cursor.execute(_as_query(step.text)))
        await cursor.execute(_as_query(step.text), step.parameters)
        return await cursor.fetchall() if cursor.description else []


async def _in_thread(call: Callable[[], T]) -> T:
    """Call in a thread. A cancellation waits for its end: what the call uses is closed after that.

    A task would not do: as a program ends all of them are cancelled, and so taken for ended.
    """
    loop, context = asyncio.get_running_loop(), copy_context()
    called = loop.run_in_executor(None, partial(context.run, call))
    cancelled: asyncio.CancelledError | None = None
    while not called.done():
        try:
            await asyncio.wait([called])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled from called.exception()
    return called.result()


def _columns(cursor: psycopg.Cursor[Any] | psycopg.AsyncCursor[Any]) -> list[tuple[str, int]]:
    return [(column.name, column.type_code) for column in cursor.description or ()]


def _outcome(lane: Steps[T]) -> T | BaseException:
    try:
        return run(lane)
    except BaseException as error:  # noqa: BLE001  # the caller decides which error counts
        return error


def _as_query(text: Text) -> sql.SQL | sql.Composed:
    return sql.SQL(text) if isinstance(text, str) else text
