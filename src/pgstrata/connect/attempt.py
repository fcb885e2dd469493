"""What an attempt to connect takes and gives, the same for both kinds of connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from psycopg.conninfo import timeout_from_conninfo
from psycopg.errors import ConnectionTimeout

from pgstrata.connect.conninfo import Conninfo
from pgstrata.connect.failure import DeadlineError, connection_failed

if TYPE_CHECKING:
    from pgstrata.connect.async_connection import AsyncConnection
    from pgstrata.connect.connection import Connection

Made = TypeVar("Made", "Connection", "AsyncConnection")


def returned(result: Made | Exception, made_with: Conninfo) -> Made:
    """Return the connection that an attempt gave, or raise what it failed with."""
    if not isinstance(result, Exception):
        return result
    raise connection_failed(made_with, result) from result


def connect_timeout(made_with: Conninfo) -> int:
    """Return how many seconds psycopg gives a host."""
    given = made_with.keywords.get("connect_timeout")
    return timeout_from_conninfo({} if given is None else {"connect_timeout": str(given)})


def in_time(error: Exception) -> Exception:
    """Return an attempt's error. That of a server which was silent after the log-in is what it is
    during that: a time-out of connecting.
    """
    late = isinstance(error, DeadlineError)
    return ConnectionTimeout("connection timeout expired") if late else error


def set_config(session: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return one statement that sets all the parameters, and its arguments."""
    calls = ", ".join("pg_catalog.set_config(%s, %s, false)" for _ in session)
    return f"SELECT {calls}", [text for setting in session.items() for text in setting]


def arguments(made_with: Conninfo, local: Mapping[str, str]) -> dict[str, Any]:
    """Return psycopg's arguments. Autocommit is on until the session is set: no rollback may revert
    that.
    """
    return {
        **made_with.resolve(),
        **local,
        "autocommit": True,
        "prepare_threshold": 5 if made_with.prepare else None,
    }


def keywords(made_with: Conninfo) -> dict[str, Any]:
    """Return what ``psycopg.connect`` takes, secrets in clear; start the embedded server if that is
    meant. Raises ``ConfigError``.
    """
    local = start_local(made_with) if made_with.local else {}
    without = {} if made_with.prepare else {"prepare_threshold": None}
    autocommit = {"autocommit": True} if made_with.autocommit else {}
    return {**made_with.resolve(), **local, **without, **autocommit}


def start_local(made_with: Conninfo) -> dict[str, str]:
    """Start the embedded server, and return the keywords that lead to it."""
    from pgstrata import local

    assert made_with.local is not None
    server = local.start(made_with.local)
    dbname = str(made_with.keywords.get("dbname", "postgres"))
    local.ensure_database(server, dbname)
    return server.keywords(dbname)
