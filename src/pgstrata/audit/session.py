"""One read-only look at one server.

All happens in one transaction that is rolled back: REPEATABLE READ, so that the facts belong
together; READ ONLY, which a hot standby allows too; and a transaction at all, so that a pooler
keeps one server for it. What the server is told is SET LOCAL, because a plain SET would leak to
the next client of a pooler, and it is told after the parameters were read, which would look like
the session's own otherwise. Statements go by the simple protocol, with the values as literals:
nothing is prepared.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import closing, suppress
from typing import Any

import psycopg

from pgstrata.audit.facts import (
    APPLICATION,
    CAPS,
    FACTS,
    OLDEST,
    SETTINGS,
    Fact,
    scrubbed,
    wrapped,
)
from pgstrata.audit.model import Gap, Row
from pgstrata.connect.connection import Connection
from pgstrata.connect.conninfo import Conninfo
from pgstrata.statements import identifier

BEGIN = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
LIMITS = """\
SET LOCAL search_path = pg_catalog;
SET LOCAL statement_timeout = '5s';
SET LOCAL lock_timeout = '1s';
SET LOCAL idle_in_transaction_session_timeout = '30s'"""
BACKEND = "SELECT pg_catalog.pg_backend_pid()"


class TooOldError(Exception):
    """The server is older than any that the queries were tried on."""


class Seen:
    """What a session saw: rows by fact, and why others are not there."""

    def __init__(self) -> None:
        self.facts: dict[str, tuple[Row, ...]] = {}
        self.gaps: dict[str, Gap] = {}

    @property
    def caps(self) -> Row:
        """What the viewer may read, and who it is."""
        return self.facts["caps"][0]


def read(made_with: Conninfo, user: str | None) -> Seen:
    """Connect, read all facts that may be read, and disconnect.

    ``user`` is the role that the facts are about; None is the one that logs in. Raises
    ``ConnectionFailedError``, ``ConfigError``, ``psycopg.Error`` and ``TooOldError``.
    """
    with closing(Connection.connect(made_with=made_with)) as connection:
        seen = Seen()
        seen.facts["client"] = (_client(connection, made_with),)
        _transaction(connection, seen, user)
        if _behind_a_proxy(seen):
            seen.facts["client"] = ({**seen.facts["client"][0], **_shared(connection, made_with)},)
        return seen


def _transaction(connection: Connection, seen: Seen, user: str | None) -> None:
    connection.execute(BEGIN)
    try:
        _read(connection, seen, SETTINGS, {})
        connection.execute(LIMITS)
        seen.facts["caps"] = _rows(connection, CAPS, {})
        caps = seen.caps
        if int(caps["version_num"]) // 10000 < OLDEST:
            raise TooOldError(f"PostgreSQL {caps['version']} is older than {OLDEST}")
        program = {"user": user or caps["session_user"], "db": caps["dbname"]}
        parameters = {**program, "auditor": APPLICATION}
        viewer = identifier(caps["session_user"])
        for fact in FACTS:
            if gap := fact.gap(caps, viewer):
                seen.gaps[fact.name] = gap
            else:
                _read(connection, seen, fact, parameters)
    finally:
        if not connection.closed:
            connection.execute("ROLLBACK")


def _read(connection: Connection, seen: Seen, fact: Fact, parameters: Mapping[str, Any]) -> None:
    """Read the rows of a fact, or why they are not there."""
    try:
        seen.facts[fact.name] = _rows(connection, fact.query, parameters)
    except psycopg.Error as error:
        if connection.closed:
            raise
        seen.gaps[fact.name] = _refused(connection, error)
    except UnicodeDecodeError:  # a database without an encoding may hold any bytes
        seen.gaps[fact.name] = Gap("it holds what is not UTF-8")


def _rows(connection: Connection, query: str, parameters: Mapping[str, Any]) -> tuple[Row, ...]:
    """Return the rows of a query; the savepoint goes in one message with it."""
    cursor = psycopg.ClientCursor(connection)
    cursor.execute(f"SAVEPOINT fact; {wrapped(query)}".encode(), parameters)
    cursor.nextset()
    answer = cursor.fetchone()
    assert answer is not None
    return tuple(scrubbed(row) for row in answer[0])


def _refused(connection: Connection, error: psycopg.Error) -> Gap:
    """Make the transaction usable again, and return what the server said."""
    connection.execute("ROLLBACK TO SAVEPOINT fact")
    return Gap(f"the server refused: {error.diag.message_primary or error}")


def _client(connection: Connection, made_with: Conninfo) -> Row:
    """Return what this end knows of the connection: what differs at the other end tells of a proxy
    between them (``identity``, ``tls``).
    """
    pgconn = connection.pgconn
    return {
        "backend_pid": pgconn.backend_pid,
        "port": _port(pgconn.socket),
        "ssl": pgconn.ssl_in_use,
        "used_password": pgconn.used_password,
        "host": connection.info.host,
        "hostaddr": connection.info.hostaddr,
        "server_port": connection.info.port,
        "addresses": _addresses(made_with.keywords),
        "server_version": connection.info.parameter_status("server_version"),
        "libpq": psycopg.pq.version(),
    }


def _addresses(keywords: Mapping[str, Any]) -> int:
    """Return how many addresses libpq tries for the host: each has the whole connect_timeout.

    The name was looked up a moment ago, to connect.
    """
    host = str(keywords.get("host", ""))
    if not host or host[0] in "/@" or keywords.get("hostaddr"):
        return 1
    with suppress(OSError, UnicodeError):
        return max(len(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)), 1)
    return 1


def _port(descriptor: int) -> int | None:
    """Return the local TCP port; None over a Unix socket."""
    with suppress(OSError), socket.fromfd(descriptor, socket.AF_INET, socket.SOCK_STREAM) as copy:
        name = copy.getsockname()
        return int(name[1]) if isinstance(name, tuple) else None
    return None


def _behind_a_proxy(seen: Seen) -> bool:
    """Tell whether something that speaks PostgreSQL's protocol stands between: it hands out numbers
    of its own for what the server calls its processes.
    """
    own, theirs = seen.facts["client"][0], seen.facts.get("identity", ())
    return any(row["backend_pid"] != own["backend_pid"] for row in theirs)


def _shared(connection: Connection, made_with: Conninfo) -> Row:
    """Tell whether two idle clients of a proxy are given the same server process: then it pools
    transactions, not sessions.
    """
    with suppress(psycopg.Error), closing(Connection.connect(made_with=made_with)) as second:
        pids = [one.execute(BACKEND).fetchone() for one in (connection, second)]
        return {"shares_backend": pids[0] == pids[1]}
    return {"shares_backend": None}
