"""What a pool knows of one of its connections. Nothing here does I/O, so it serves both kinds."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias

from psycopg.pq import ConnStatus, PipelineStatus, TransactionStatus

from pgstrata.connect.conninfo import Conninfo

if TYPE_CHECKING:
    from pgstrata.connect.async_connection import AsyncConnection
    from pgstrata.connect.connection import Connection

    Borrowed: TypeAlias = Connection | AsyncConnection

_WRITABLE = (b"read-write", b"primary")
_READ_ONLY = ("in_hot_standby", "default_transaction_read_only")
_IDLE, _OFF = TransactionStatus.IDLE, PipelineStatus.OFF  # an enumeration is slow to look into
BAD = ConnStatus.BAD


class State:
    """How a connection was made, when it was made and last used (``time.monotonic``), whether a
    borrower ``touched`` how it works, and whether it turned out to be ``misplaced``: on a server
    that may only be read.
    """

    __slots__ = (
        *("autocommit", "cursor_factory", "made_at", "misplaced", "row_factory", "secrets"),
        *("touched", "used_at", "writes"),
    )

    def __init__(self, made_with: Conninfo, connection: Borrowed) -> None:
        self.made_at = self.used_at = monotonic()
        self.autocommit = made_with.autocommit
        self.row_factory: Any = connection.row_factory
        self.cursor_factory: Any = connection.cursor_factory
        self.secrets = made_with
        self.touched = self.misplaced = False
        self.writes = _target(connection) in _WRITABLE


def idle(connection: Borrowed) -> bool:
    """Tell whether no transaction is open, and the server has nothing to do."""
    return connection.pgconn.transaction_status == _IDLE


def untouched(connection: Borrowed) -> bool:
    """Tell whether there is nothing to commit or roll back."""
    pgconn = connection.pgconn
    return pgconn.transaction_status == _IDLE and pgconn.pipeline_status == _OFF


def changed(connection: Borrowed) -> bool:
    """Tell whether a borrower changed what the next one must not see, as far as this side of the
    connection knows: what was SET on the server stays there.
    """
    state = connection.state
    return (
        state.touched
        or connection.row_factory is not state.row_factory
        or connection.cursor_factory is not state.cursor_factory
    )


def meet_read_only(connection: Borrowed) -> None:
    """Take note of a server that let nothing be written: it turned read-only, if
    ``target_session_attrs`` asked for a writable one.

    A transaction that was made read-only by the program gets the same error, and is told from it
    by what the server says of itself (since PostgreSQL 14).
    """
    state = connection.state
    if not state.writes or connection.read_only:
        return
    said = [connection.info.parameter_status(name) for name in _READ_ONLY]
    if None in said or "on" in said:
        state.touched = state.misplaced = True


def _target(connection: Borrowed) -> bytes | None:
    """Return ``target_session_attrs``, be it ours, a variable's or a service file's."""
    options = connection.pgconn.info
    return next(option.val for option in options if option.keyword == b"target_session_attrs")
