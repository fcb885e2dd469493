"""Failing fast, and saying why."""

from __future__ import annotations

import asyncio
import gettext
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import psycopg_pool
import pytest
from tests.connect.conftest import TYPES, Make, select, settings
from tests.proxy import unanswering
from tests.servers import Server, embedded_bindir

from pgstrata import ConnectionFailedError, PgstrataError, PoolTimeoutError, Secret
from pgstrata.connect.conninfo import Conninfo
from pgstrata.connect.failure import connection_failed, kind, scrubbed
from pgstrata.local.cluster import free_port

# Before 3.3, psycopg's message names neither the host that cannot be resolved nor each that failed.
NAMES_HOSTS = psycopg.__version__ >= "3.3"
SOON = 15  # seconds; a pool that went on trying would take its 30
FAILURES: dict[str, tuple[dict[str, Any], str, str]] = {
    "wrong password": (
        {"password": "guess"},
        "password authentication failed",
        "check the user and the password",
    ),
    "no password": ({"password": None}, "no password supplied", "connection_settings.password"),
    "wrong user": ({"user": "nobody"}, "password authentication failed", "check the user"),
    "wrong database": ({"dbname": "nowhere"}, 'database "nowhere" does not', "check dbname"),
    "refused port": ({"port": 1}, "Connection refused", "is the port right"),
    "unresolvable host": (
        {"host": "no.such.host.invalid"},
        "no.such.host.invalid" if NAMES_HOSTS else "not known",
        "spelling",
    ),
    "no standby": ({"target_session_attrs": "standby"}, "standby", "target_session_attrs asks"),
    "TLS required": ({"sslmode": "require"}, "server does not support SSL", "no TLS"),
}


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize(("over", "reason", "hint"), FAILURES.values(), ids=FAILURES)
async def test_reason(
    make: Make, server: Server, kind: str, over: dict[str, Any], reason: str, hint: str
) -> None:
    """The error comes at once, is psycopg's and ours, and has a cause and a hint."""
    manager = make(settings(server, **over))
    handle = manager.get_database_connection(connection_type=kind)
    began = time.monotonic()
    with pytest.raises(ConnectionFailedError) as caught:
        await select(handle)
    assert time.monotonic() - began < SOON
    error = caught.value
    assert isinstance(error, psycopg.OperationalError)
    assert isinstance(error, PgstrataError)
    assert reason in str(error)
    assert "test/default" in str(error)
    assert hint in error.hint
    assert isinstance(error.__cause__, psycopg.OperationalError)
    assert error.__cause__.pgconn is None


@pytest.fixture
def black_hole() -> Iterator[int]:
    """Return a port that takes no connection: its queue is full, so it drops whoever knocks."""
    listener, filling = unanswering()
    yield listener.getsockname()[1]
    for each in (listener, *filling):
        each.close()


@pytest.mark.parametrize("kind", TYPES)
async def test_black_hole(make: Make, server: Server, black_hole: int, kind: str) -> None:
    """A host that never answers is given up after ``connect_timeout``."""
    manager = make(settings(server, port=black_hole, connect_timeout=1))
    began = time.monotonic()
    with pytest.raises(ConnectionFailedError) as caught:
        await select(manager.get_database_connection(connection_type=kind))
    assert time.monotonic() - began < SOON
    assert "connect_timeout" in caught.value.hint


@pytest.mark.parametrize("kind", TYPES)
async def test_one_of_two_hosts_is_dead(make: Make, server: Server, kind: str) -> None:
    """The second host is taken when the first refuses; when both do, both are named."""
    two = {"host": f"{server.host},{server.host}"}
    manager = make(settings(server, **two, port=f"1,{server.port}"))
    assert await select(manager.get_database_connection(connection_type=kind)) == 1
    await manager.clear_cache_async()
    manager = make(settings(server, **two, port=f"1,{(other := free_port())}"))
    with pytest.raises(ConnectionFailedError) as caught:
        await select(manager.get_database_connection(connection_type=kind))
    message = str(caught.value)
    assert f"port: '{other}'" in message if NAMES_HOSTS else f"port {other}" in message
    assert "port: '1'" in message or not NAMES_HOSTS


@pytest.fixture(scope="module")
def own_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Return a server that tests may stop."""
    with Server.running(embedded_bindir(request.config.getoption("--pg"))) as running:
        yield running


@pytest.mark.parametrize("kind", ["pool", "async_pool"])
async def test_server_that_goes_away(make: Make, own_server: Server, kind: str) -> None:
    """A pool whose server is gone says so when its time is over, and recovers by itself."""
    sizes = {"min_size": 1, "max_size": 1, "timeout": 1.5, "check_on_checkout": True}
    manager = make(settings(own_server), pool_settings=sizes, async_pool_settings=sizes)
    handle = manager.get_database_connection(connection_type=kind)
    assert await select(handle) == 1
    own_server.stop()
    try:
        with pytest.raises(PoolTimeoutError) as caught:
            await select(handle)
    finally:
        own_server.start()
    error = caught.value
    assert isinstance(error, psycopg_pool.PoolTimeout)
    assert isinstance(error, ConnectionFailedError)
    assert isinstance(error.__cause__, psycopg.OperationalError)
    assert "Connection refused" in str(error)
    assert "within 1.5 s" in str(error)
    deadline = time.monotonic() + 20
    while True:
        try:
            assert await select(handle) == 1
            break
        except PoolTimeoutError:
            assert time.monotonic() < deadline
    await manager.clear_cache_async()


async def test_event_loop_goes_on_while_connecting(
    make: Make, server: Server, black_hole: int
) -> None:
    """An attempt to connect that hangs leaves the event loop to others."""
    handle = make(settings(server, port=black_hole, connect_timeout=1)).async_()
    task, turns = asyncio.create_task(select(handle)), 0
    while not task.done():
        await asyncio.sleep(0.01)
        turns += 1
    assert isinstance(task.exception(), ConnectionFailedError)
    assert turns >= 10


@pytest.mark.parametrize(
    ("password", "message", "expected"),
    [
        ("hunter2", 'no host "hunter2@x"', 'no host "********@x"'),
        ("p", "port 1 failed", "port 1 failed"),
        ("app", 'user "app" failed', 'user "app" failed'),
        ("", "failed", "failed"),
    ],
)
def test_masking(password: str, message: str, expected: str) -> None:
    """A password is masked, unless the gap would tell a short or well-known one."""
    made_with = Conninfo("test", {"user": "app", "password": Secret(password)})
    error = scrubbed(psycopg.errors.InvalidPassword(message), made_with)
    assert str(error) == expected
    assert isinstance(error, psycopg.errors.InvalidPassword)


def test_hint_names_the_source_of_the_password() -> None:
    """Who is told to check a password is told where it comes from."""
    refused = psycopg.OperationalError("password authentication failed")
    from_env = Conninfo("test", {"password": Secret("x", source="env DB_PASSWORD")})
    assert connection_failed(from_env, refused).hint.endswith("the password (env DB_PASSWORD)")
    assert connection_failed(Conninfo("test", {}), refused).hint.endswith("which is not set here")


TO = 'connection to server at "certificates.example.com" (192.0.2.1), port 5432 failed: '
KINDS: dict[str, tuple[str, ...]] = {
    "refused": (
        'FATAL:  password authentication failed for user "too many clients"',
        'FATAL:  database "starting up" does not exist',
        "FATAL:  Passwort-Authentifizierung für Benutzer »zu viele Verbindungen« fehlgeschlagen",
        "FATAL:  something that nobody has seen yet",
        'SSL error: certificate verify failed\n\nconnection to server at "h" failed: timeout',
        'could not translate host name "h" to address: Name or service not known',
        "SSL error: tlsv1 alert unknown ca",
        "fe_sendauth: no password supplied",
        "server does not support SSL, but SSL was required",
        "Permission denied",
    ),
    "busy": (
        "FATAL:  the database system is starting up",
        "FATAL:  the database system is not accepting connections\nDETAIL:  Hot standby mode",
        "FATAL:  sorry, too many clients already",
        "FATAL:  das Datenbanksystem startet gerade",
        "ВАЖНО:  извините, уже слишком много клиентов",
        "FATAL:  no more connections allowed (max_client_conn)",
    ),
    "unreachable": (
        "Connection refused\n\tIs the server running on that host and accepting connections?",
        "SSL connection has been closed unexpectedly",
        "SSL error: unexpected eof while reading",
        "[Errno -3] Temporary failure in name resolution",
        "Network is down",
        "Host is down",
        "Cannot assign requested address",
        "server closed the connection unexpectedly",
        "session is read-only",
        "FATAL:  pgbouncer cannot connect to server",
        "FATAL:  terminating connection due to administrator command",
        "FATAL:  Verbindung wird abgebrochen aufgrund von Anweisung des Administrators",
        "something that nobody has seen yet",
    ),
}


@pytest.mark.parametrize(
    ("expected", "words"),
    [(kind, words) for kind, all_words in KINDS.items() for words in all_words],
)
def test_kind(expected: str, words: str) -> None:
    """What is called like a reason is none, and what is not known depends on who says it."""
    assert kind(psycopg.OperationalError(f"connection failed: {TO}{words}")) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (psycopg.errors.UndefinedObject("unrecognized"), "refused"),
        (psycopg.errors.CannotConnectNow("не сейчас"), "busy"),
        (psycopg.errors.TooManyConnections("demasiado"), "busy"),
        (psycopg.errors.AdminShutdown("ended"), "unreachable"),
        (psycopg.errors.ConnectionTimeout("password authentication failed"), "unreachable"),
        (PgstrataError("no key"), "refused"),
    ],
)
def test_kind_by_sqlstate(error: Exception, expected: str) -> None:
    """Where there is a SQLSTATE, the words do not count."""
    assert kind(error) == expected


SAID = {
    "busy": (
        "the database system is starting up",
        "the database system is shutting down",
        "the database system is in recovery mode",
        "the database system is not yet accepting connections",
        "the database system is not accepting connections",
        "sorry, too many clients already",
        'too many connections for role "%s"',
        'too many connections for database "%s"',
        "remaining connection slots are reserved for non-replication superuser connections",
        "remaining connection slots are reserved for roles with the SUPERUSER attribute",
    ),
    "unreachable": ("terminating connection due to administrator command",),
}
CATALOGUES = sorted(Path("/usr/share/locale").glob("*/LC_MESSAGES/postgres-[0-9]*.mo"))


@pytest.mark.skipif(not CATALOGUES, reason="no PostgreSQL with its catalogues is installed")
def test_kind_in_other_languages() -> None:
    """A server that starts, stops or is full is told in each language that is installed."""
    for path in CATALOGUES:
        with path.open("rb") as file:
            translated = gettext.GNUTranslations(file).gettext
        for expected, messages in SAID.items():
            for message in messages:
                words = f"{translated('FATAL')}:  {translated(message)}"
                assert kind(psycopg.OperationalError(f"{TO}{words}")) == expected, (path, words)
