"""Who is connected to a server's database, and what they do, by the names that they give."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal, TypeAlias

import psycopg

from pgstrata.connect.application import fingerprint, parsed
from pgstrata.connect.failure import ConnectionFailedError
from pgstrata.model import Config

Match: TypeAlias = Literal["same", "other", ""]

# What other roles do is null for those who are not members of pg_read_all_stats; even what kind of
# process it is.
_CLIENTS = """
SELECT coalesce(application_name, ''), coalesce(usename::text, ''), count(*),
       count(*) FILTER (WHERE state IN ('active', 'fastpath function call')),
       count(*) FILTER (WHERE state = 'idle'),
       count(*) FILTER (WHERE state LIKE 'idle in transaction%'),
       count(*) FILTER (WHERE wait_event_type = 'Lock'),
       count(*) FILTER (WHERE state IS NULL),
       coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float8
FROM pg_catalog.pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
  AND coalesce(backend_type, 'client backend') = 'client backend'
GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2
"""
_SERVER = """
SELECT current_database(), current_setting('server_version'), count(*),
       current_setting('max_connections')::int
FROM pg_catalog.pg_stat_activity
WHERE coalesce(backend_type, 'client backend') = 'client backend'
"""


@dataclass(frozen=True, slots=True)
class Client:
    """The connections of one application_name and role. ``longest`` is the age of their oldest
    transaction in seconds; ``hidden`` how many are not shown to this role.

    ``settings`` tells whether their effective settings are the ``same`` as those that were read
    here, or ``other`` ones; it is empty for other environments and names.
    """

    application: str
    user: str
    connections: int
    active: int
    idle: int
    in_transaction: int
    blocked: int
    hidden: int
    longest: float
    settings: Match


@dataclass(frozen=True, slots=True)
class Activity:
    """One look: the clients of the database, and how many connections the server has of how many
    that it allows.
    """

    database: str
    version: str
    connections: int
    allowed: int
    clients: tuple[Client, ...]


class Watch:
    """Looks at one server, one after the other, with a connection that is made anew when it is
    lost.
    """

    def __init__(self, connect: Callable[[], psycopg.Connection], config: Config) -> None:
        self._connect, self._config = connect, config
        self._connection: psycopg.Connection | None = None

    def look(self) -> Activity:
        """Return what is seen now. Raises ``ConnectionFailedError``; the next look may succeed."""
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
            self._connection.autocommit = True
        return look(self._connection, self._config)

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()


def look(connection: psycopg.Connection, config: Config) -> Activity:
    """Ask the server, in a transaction that may only read. The connection is in autocommit.

    Raises ``ConnectionFailedError`` where it cannot be asked.
    """
    connection.read_only = True
    here = {fingerprint(config.connection(name)) for name in config.connections}
    try:
        with connection.transaction():
            server = connection.execute(_SERVER).fetchone() or ("", "", 0, 0)
            rows = connection.execute(_CLIENTS).fetchall()
    except psycopg.Error as error:
        raise ConnectionFailedError(f"the server cannot be asked: {error}") from error
    clients = (Client(*(*row, _match(row[0], config.environment, here))) for row in rows)
    return Activity(*(*server, tuple(clients)))


def _match(application: str, environment: str, here: Collection[str]) -> Match:
    name = parsed(application)
    if name is None or name.environment != environment:
        return ""
    return "same" if name.fingerprint in here else "other"
