"""Parameters of the client's own sessions, for its role in its database and nobody else."""

from __future__ import annotations

from collections.abc import Iterator

from pgstrata.capacity import pool_sizes
from pgstrata.check.scope import SESSION_SECTIONS, Connection, is_remote, reading
from pgstrata.model import Origin
from pgstrata.recommend.advice import Advice, Note
from pgstrata.recommend.server import Server, places, tcp_hosts
from pgstrata.statements import role_setting

# The client's keyword, the server's parameter for the same, and its unit.
_KEEPALIVES = (
    ("keepalives_idle", "tcp_keepalives_idle", "s"),
    ("keepalives_interval", "tcp_keepalives_interval", "s"),
    ("keepalives_count", "tcp_keepalives_count", ""),
    ("tcp_user_timeout", "tcp_user_timeout", "ms"),
)
_DEADLOCK_MS = 1000  # deadlock_timeout, PostgreSQL's own default


def idle(server: Server) -> Iterator[Advice | Note]:
    """Say that the server must not end the connections that a pool keeps."""
    for role, database, connections in _sessions(server):
        kept = [(c, key, least) for c in connections for key, least in _kept(c)]
        if kept:
            origins = (place for c, key, _ in kept for place in places([c], key))
            most = max(least for *_, least in kept)
            yield Advice(
                "sql",
                role_setting(role, database, "idle_session_timeout", "0"),
                f"a pool keeps {most} connections open however long they are idle (max_idle"
                " counts for those above min_size only); one that the server ends is handed to"
                " the next caller dead. From PostgreSQL 14 on",
                "new sessions",
                f"min_size {most} > 0",
                tuple(dict.fromkeys(origins)),
            )
        for connection in connections if kept else ():
            yield from _contradiction(connection)


def keepalives(server: Server) -> Iterator[Advice]:
    """Say how soon the server notices that a client is gone: as soon as the client would."""
    for role, database, connections in _sessions(server):
        remote = [c for c in connections if any(map(is_remote, tcp_hosts(c)))]
        if not remote:
            continue
        for keyword, parameter, unit in _KEEPALIVES:
            yield from _keepalive(role, database, remote, keyword, f"{parameter} {unit}")


def deadlocks(server: Server) -> Iterator[Advice]:
    """Say that the server has to look for a deadlock before the client gives up waiting."""
    for role, database, connections in _sessions(server):
        waits = [wait for c in connections for wait in _lock_timeouts(c)]
        if waits and (shortest := min(waits))[0] <= _DEADLOCK_MS:
            sooner = max(shortest[0] // 2, 1)
            yield Advice(
                "sql",
                role_setting(role, database, "deadlock_timeout", f"{sooner}ms"),
                "the client gives up on a lock before the server would look for a deadlock, so"
                " none is ever reported. To be run by a superuser",
                "new sessions",
                f"lock_timeout {shortest[0]} ms / 2 = {sooner} ms",
                (shortest[1],),
            )


def _sessions(server: Server) -> Iterator[tuple[str, str, list[Connection]]]:
    """Yield role, database, and the connections that open ordinary sessions of the two."""
    found: dict[tuple[str, str], list[Connection]] = {}
    for connection in server.direct:
        role, database = connection.keyword("user"), connection.keyword("dbname")
        if role and database and not connection.keyword("replication"):
            found.setdefault((str(role), str(database)), []).append(connection)
    for (role, database), connections in found.items():
        yield role, database, connections


def _kept(connection: Connection) -> Iterator[tuple[str, int]]:
    """Yield the key and value of each ``min_size`` that keeps connections open."""
    for kind, section in connection.pools():
        least, _ = pool_sizes(connection.settings, kind)
        if least:
            yield f"{section}.min_size", least


def _contradiction(connection: Connection) -> Iterator[Note]:
    for section in SESSION_SECTIONS:
        key = f"{section}.idle_session_timeout"
        if reading(key, connection.value(key)):
            yield Note(
                f"{connection.name}: {key} ends what the pool keeps, and wins over what the role"
                " has; take it out",
                connection.place(key),
            )


def _keepalive(
    role: str, database: str, connections: list[Connection], keyword: str, parameter: str
) -> Iterator[Advice]:
    name, _, unit = parameter.partition(" ")
    key = f"connection_settings.{keyword}"
    said = [
        (value, c.place(key))
        for c in connections
        if c.keyword("keepalives") != 0 and isinstance(value := c.keyword(keyword), int) and value
    ]
    if said:
        value, place = min(said)
        yield Advice(
            "sql",
            role_setting(role, database, name, f"{value}{unit}"),
            "the server notices that the client is gone as soon as the client notices it of the"
            " server",
            "new sessions",
            f"{keyword} {value}{unit and f' {unit}'}",
            (place,),
        )


def _lock_timeouts(connection: Connection) -> Iterator[tuple[int, Origin]]:
    for section in SESSION_SECTIONS:
        key = f"{section}.lock_timeout"
        value = reading(key, connection.value(key))
        if isinstance(value, int | float) and value > 0:
            yield int(value), connection.place(key)
