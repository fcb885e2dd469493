"""The transaction of a transfer, and the session settings that make it exact.

Who commits: on an idle connection a transfer is one transaction, committed when all is well. Inside
a transaction of the caller it is a savepoint, and the caller commits.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import psycopg
from psycopg.pq import TransactionStatus

from pgstrata.errors import UsageError
from pgstrata.tables import wire
from pgstrata.tables.errors import Interrupted, OutcomeUnknownError, TransferError
from pgstrata.tables.steps import AnyConnection, Cancel, Steps, Wire, query

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")
INTERRUPTIONS = (KeyboardInterrupt, asyncio.CancelledError)

IN_THE_WAY = "--on-conflict skip or update says what to do with rows that exist"
LOCK_TIMEOUT = "10s"  # unless the session has one: who waits for a lock makes others wait behind it
# No setting of the session may change what a value means, or end a transfer that takes long. Both
# ends speak UTF-8, also to a database in another encoding: the servers convert, or refuse.
BOTH = {
    "client_encoding": "UTF8",
    "statement_timeout": "0",
    "transaction_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "lock_timeout": LOCK_TIMEOUT,
}
SINCE = {"transaction_timeout": 170000}  # the server version that has a parameter
MONEY = {"lc_monetary": "C"}  # what two servers have to agree on for money to stay the same
READING = BOTH | {
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "3",
}
# DateStyle and TimeZone stay the session's: they say how its owner reads an ambiguous date.
WRITING = BOTH | {
    "IntervalStyle": "postgres",
    "client_min_messages": "error",  # a message in mid-COPY would look like an error
}


class TooLateError(OutcomeUnknownError):
    """A task was cancelled while the server committed, which was faster: all is kept."""


def transaction(
    connection: AnyConnection,
    body: Steps[T],
    settings: Mapping[str, str],
    *,
    keep: bool = True,
) -> Steps[T]:
    """Run ``body`` as a transaction or savepoint; undo it on an exception, or unless ``keep``.

    Raises as ``commit`` does, and ``TransferError`` for what the server says: nothing was kept.
    """
    nested = yield from _begin(connection)
    try:
        before = yield from apply(connection, settings)
        result = yield from body
        if nested and keep:
            yield from apply(connection, before)
        xid = (yield from assigned_xid(connection)) if keep and not nested else ""
    except BaseException as error:
        yield from _undo(connection, nested=nested)
        if isinstance(error, psycopg.Error):
            raise refused(error, "nothing was kept") from error
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted("nothing was kept") from error
        raise
    try:
        if keep:
            yield from _keep(connection, xid, nested=nested)
        else:
            yield from _undo(connection, nested=nested)
    except psycopg.Error as error:
        raise refused(error, "nothing was kept: the server refused to commit") from error
    return result


def snapshot(connection: AnyConnection, body: Steps[T], settings: Mapping[str, str]) -> Steps[T]:
    """Run ``body``, which only reads here, as of one moment; in a transaction of the caller as of
    what that sees. What goes wrong at its end undoes nothing of what ``body`` has done elsewhere.
    """
    nested = yield from _begin(connection)
    try:
        if not nested:
            text = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
            yield from query(connection, text)
        before = yield from apply(connection, settings)
        result = yield from body
    except BaseException as error:
        with suppress(asyncio.CancelledError):  # a second one; the error says what is kept
            yield from _undo(connection, nested=nested)
        if isinstance(error, psycopg.Error):
            raise refused(error, "nothing was kept") from error
        raise
    try:
        if nested:
            yield from apply(connection, before)
        end = "RELEASE SAVEPOINT pgstrata_transfer" if nested else "COMMIT"
        yield from query(connection, end)
    except psycopg.Error:
        pass
    except INTERRUPTIONS as error:
        with suppress(psycopg.Error, *INTERRUPTIONS):
            yield from _undo(connection, nested=nested)
        raise too_late(error, "all is done") from error
    return result


def in_transaction(connection: AnyConnection) -> bool:
    """Return whether the caller has a transaction open. Raises ``UsageError`` if it has failed."""
    status = connection.info.transaction_status
    if status in (TransactionStatus.INERROR, TransactionStatus.ACTIVE, TransactionStatus.UNKNOWN):
        raise UsageError(
            f"the connection cannot be used now, its transaction is {status.name}",
            hint="roll back first, or give another connection",
        )
    return status == TransactionStatus.INTRANS


def apply(connection: AnyConnection, settings: Mapping[str, str]) -> Steps[dict[str, str]]:
    """Set parameters until the end of the transaction; return what they were before."""
    version = connection.info.server_version
    names = [name for name in settings if version >= SINCE.get(name, 0)]
    rows = yield from query(
        connection,
        "SELECT n, coalesce(pg_catalog.current_setting(n, true), '') FROM unnest(%s::text[]) AS n",
        names,
    )
    yield from query(
        connection,
        "SELECT pg_catalog.set_config(n, CASE WHEN n = 'lock_timeout' AND v = %s"
        " AND pg_catalog.current_setting(n) <> '0' THEN pg_catalog.current_setting(n)"
        " ELSE v END, true) FROM unnest(%s::text[], %s::text[]) AS s(n, v)",
        LOCK_TIMEOUT,
        names,
        [settings[name] for name in names],
    )
    return dict(rows)


def assigned_xid(connection: AnyConnection) -> Steps[str]:
    """Return the id of the transaction, to be asked for before ``commit``; empty if it has none."""
    text = "SELECT pg_catalog.pg_current_xact_id_if_assigned()::text"
    rows = yield from query(connection, text)
    return rows[0][0] or ""


def commit(connection: AnyConnection, xid: str) -> Steps[None]:
    """COMMIT. Raises ``OutcomeUnknownError`` if the answer is lost.

    Where Ctrl-C or a cancellation comes first, all is undone. But the server may be faster than
    both: then it raises what ``too_late`` returns.
    """
    try:
        yield from query(connection, "COMMIT")
    except psycopg.Error as error:
        if connection.closed:
            raise _unknown(xid) from error
        raise
    except INTERRUPTIONS as error:
        if (yield from _is_committed(connection, xid, error)):
            raise too_late(error, "all is in the table", xid) from error
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted("nothing was kept") from error
        raise


def _is_committed(connection: AnyConnection, xid: str, error: BaseException) -> Steps[bool]:
    """Return what came of a COMMIT that was interrupted, and end what it may have left open.

    Raises ``OutcomeUnknownError`` if that cannot be told.
    """
    try:
        yield from _stop(connection)  # the COMMIT itself, if its answer has not come
        status = (yield from commit_status_steps(connection, xid)) if xid else None
        yield from _undo(connection, nested=False)  # COMMIT may not have been sent
    except (psycopg.Error, *INTERRUPTIONS):
        raise _unknown(xid) from error
    return status == "committed"


def too_late(error: BaseException, what: str, xid: str = "") -> BaseException:
    """Return what to raise for an interruption that came when ``what`` was so already.

    It is no ``CancelledError``, of which ``wait_for`` makes a timeout that does not say what is
    kept; nor an ``Interrupted``, which would end the event loop and not only the task.
    """
    if isinstance(error, KeyboardInterrupt):
        return Interrupted(f"too late: {what}", committed=True)
    return TooLateError(f"cancelled too late: {what}", xid=xid)


def was_committed(error: BaseException) -> bool:
    """Return whether ``commit`` has raised an error for a transaction that is committed."""
    return isinstance(error, TooLateError) or (isinstance(error, Interrupted) and error.committed)


def commit_status_steps(connection: AnyConnection, xid: str) -> Steps[str | None]:
    """Return ``committed``, ``aborted`` or ``in progress`` for the xid of a lost commit."""
    text = "SELECT pg_catalog.pg_xact_status(%s::pg_catalog.xid8)"
    rows = yield from query(connection, text, xid)
    status: str | None = rows[0][0]
    return status


def said(error: psycopg.Error) -> str:
    """Return the server's own words, without the context that may run to pages."""
    parts = [error.diag.message_primary or str(error).partition("\n")[0], error.diag.message_detail]
    return ": ".join(part for part in parts if part)


def refused(error: psycopg.Error, what: str) -> TransferError:
    """Return the error that says what was not done, in the server's words, with its hint."""
    advice = IN_THE_WAY if isinstance(error, psycopg.errors.UniqueViolation) else ""
    return TransferError(f"{what}: {said(error)}", hint=error.diag.message_hint or advice)


def _begin(connection: AnyConnection) -> Steps[bool]:
    """Begin a transaction, or a savepoint in one of the caller; return whether it is that."""
    nested = in_transaction(connection)
    if nested:
        yield from query(connection, "SAVEPOINT pgstrata_transfer")
    elif connection.autocommit:
        yield from query(connection, "BEGIN")
    return nested


def _keep(connection: AnyConnection, xid: str, *, nested: bool) -> Steps[None]:
    if not nested:
        yield from commit(connection, xid)
        return
    try:
        yield from query(connection, "RELEASE SAVEPOINT pgstrata_transfer")
    except INTERRUPTIONS as error:
        with suppress(psycopg.Error):  # the savepoint is gone: then the transaction has failed now
            yield from _undo(connection, nested=True)
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted("nothing was kept") from error
        raise


def _stop(connection: AnyConnection) -> Steps[None]:
    """Stop a statement that was left amid what it says, a COPY TO or any other, so that the
    transaction can end.
    """
    if connection.closed or connection.info.transaction_status != TransactionStatus.ACTIVE:
        return
    yield Cancel(connection)
    with suppress(psycopg.Error):  # the cancellation
        yield Wire(connection, wire.leave(connection.pgconn))


def _undo(connection: AnyConnection, *, nested: bool) -> Steps[None]:
    if nested:
        undo = "ROLLBACK TO SAVEPOINT pgstrata_transfer; RELEASE SAVEPOINT pgstrata_transfer"
    else:
        undo = "ROLLBACK"
    yield from _stop(connection)
    try:
        yield from query(connection, undo)
    except psycopg.Error:
        if not connection.closed:  # a lost connection has rolled back, and has its own error
            raise


def _unknown(xid: str) -> OutcomeUnknownError:
    ask = f"SELECT pg_xact_status('{xid}') on a new connection tells" if xid else ""
    return OutcomeUnknownError(
        "the answer to COMMIT was lost: either all is in or nothing",
        xid=xid,
        hint=ask or "nothing had been written",
    )
