# ruff: noqa: PT012  # what a block does with an exception is what these tests are about
"""Pools whose connections die, whose server goes away, refuses, hangs or turns read-only."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import IsolationLevel, rows
from psycopg_pool import TooManyRequests
from tests.connect.conftest import Make, select, settings
from tests.proxy import Proxy
from tests.servers import PASSWORD, Server, embedded_bindir

from pgstrata import ConnectionFailedError, DeadlineError, PGConnectionManager, PoolTimeoutError
from pgstrata.connect import upkeep
from pgstrata.connect.async_pool import AsyncPool
from pgstrata.connect.handles import AsyncPoolHandle, PoolHandle
from pgstrata.connect.outage import Outage
from pgstrata.connect.pool import Pool

KINDS = ("pool", "async_pool")
PID = "SELECT pg_backend_pid()"
PATIENCE = 60  # seconds that nothing here takes, unless it hangs


def pooled(
    make: Make, server: Server, kind: str, over: dict[str, Any], **sizes: Any
) -> PoolHandle | AsyncPoolHandle:
    """Return the handle of a pool of a project with these settings and sizes."""
    given = {"min_size": 1, "max_size": 4, "timeout": PATIENCE, **sizes}
    manager = make(settings(server, **over), pool_settings=given, async_pool_settings=given)
    handle = manager.get_database_connection(connection_type=kind)
    assert isinstance(handle, PoolHandle | AsyncPoolHandle)
    return handle


async def filled(handle: PoolHandle | AsyncPoolHandle, size: int) -> Pool | AsyncPool:
    """Return the pool of a handle when it has this many idle connections."""
    if isinstance(handle, AsyncPoolHandle):
        opened = await handle.open()
        await opened.wait(PATIENCE)
        pool: Pool | AsyncPool = opened
    else:
        pool = handle.open()
        pool.wait(PATIENCE)
    assert len(pool._pool) == size
    return pool


def aged(pool: Pool | AsyncPool, seconds: float) -> list[int]:
    """Let idle connections look as if they had idled for long, and return their processes."""
    for connection in pool._pool:
        connection.state.used_at -= seconds
    return [connection.info.backend_pid for connection in pool._pool]


def wait_until(true: Callable[[], object]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def own_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Return a server that a test may stop."""
    with Server.running(embedded_bindir(request.config.getoption("--pg"))) as running:
        yield running


@pytest.fixture
def role(server: Server) -> Iterator[str]:
    """Return a role of its own for a test."""
    name = f"role_{time.monotonic_ns()}"
    server.sql(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
    yield name
    server.sql(f"DROP ROLE {name}")


def failed_logins(server: Server, role: str) -> int:
    """Return how often the server refused the role."""
    return server.log_text().count(f'password authentication failed for user "{role}"')


def allowed(seconds: float) -> int:
    """Return how often a server that refuses a pool may have been asked: twice, as the pool may
    have been growing already when its connections were lost, and once after each second.
    """
    return 2 + int(seconds)


@pytest.mark.parametrize("kind", KINDS)
async def test_all_died_idle(make: Make, server: Server, database: str, kind: str) -> None:
    """When all connections died while nobody looked, the first test replaces all: no caller sees an
    error.
    """
    handle = pooled(make, server, kind, {"database": database}, min_size=4)
    pool = await filled(handle, 4)
    for pid in aged(pool, 1):
        server.sql(f"SELECT pg_terminate_backend({pid}, 5000)")
    for _ in range(8):
        assert await select(handle) == 1
    assert pool.get_stats().get("connections_num", 0) == 8


@pytest.mark.parametrize("kind", KINDS)
async def test_fresh_connections_are_not_tested(
    make: Make, server: Server, database: str, kind: str
) -> None:
    """One that was used just now costs no round trip; its death is the caller's error, once."""
    handle = pooled(make, server, kind, {"database": database}, max_size=1)
    pid = await select(handle, PID)
    pool = await filled(handle, 1)
    server.sql(f"SELECT pg_terminate_backend({pid}, 5000)")
    aged(pool, -PATIENCE)  # as slow as the machine may be
    with pytest.raises(psycopg.OperationalError):
        await select(handle)
    assert await select(handle) == 1


stops = pytest.mark.skipif(sys.platform == "win32", reason="a process cannot be stopped")


@contextlib.contextmanager
def hanging(pid: int) -> Iterator[None]:
    """Have a server process hang: the kernel goes on to acknowledge what is sent to it."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@stops
@pytest.mark.parametrize("kind", KINDS)
async def test_idle_connection_hangs(make: Make, server: Server, database: str, kind: str) -> None:
    """The test of an idle connection has a deadline of its own."""
    handle = pooled(make, server, kind, {"database": database}, max_size=1)
    pool = await filled(handle, 1)
    (pid,) = aged(pool, 1)
    with hanging(pid):
        assert await select(handle, PID) != pid


@stops
@pytest.mark.parametrize("kind", ["normal", *KINDS])
async def test_client_deadline(make: Make, server: Server, database: str, kind: str) -> None:
    """A statement that is not answered ends, and so does its connection."""
    manager = make(settings(server, database, client_deadline=0.3))
    handle: Any = manager.get_database_connection(connection_type=kind)
    with pytest.raises(DeadlineError, match=r"did not answer within 0\.3 s"):
        await select(handle, "SELECT pg_sleep(60)")
    assert await select(handle) == 1


async def test_client_deadline_and_notifications(make: Make, server: Server, database: str) -> None:
    """Waiting for notifications, which nobody has to send, is no statement."""
    manager = make(settings(server, database, client_deadline=0.1, autocommit=True))
    with manager.normal() as connection:
        connection.execute("LISTEN nothing")
        assert list(connection.notifies(timeout=0.5)) == []
        assert connection.execute("SELECT 1").fetchone() == (1,)


INSERT = "INSERT INTO t VALUES (1) RETURNING n"
TURN = "SELECT set_config('default_transaction_read_only', 'on', false)"


@pytest.mark.parametrize("kind", KINDS)
async def test_server_turned_read_only(
    make: Make, server: Server, database: str, kind: str
) -> None:
    """A write that meets a read-only server, where a writable one was asked for, empties the pool:
    libpq looks for the right server again.
    """
    server.sql("CREATE TABLE t (n int)", database)
    over = {"database": database, "target_session_attrs": "read-write", "autocommit": True}
    handle = pooled(make, server, kind, over, min_size=2, max_size=2)
    pool = await filled(handle, 2)
    for _ in range(2):
        await select(handle, TURN)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        await select(handle, INSERT)
    for _ in range(4):
        assert await select(handle, INSERT) == 1
    assert pool.get_stats()["pool_size"] == 2


class RepositoryError(Exception):
    """What a program makes of psycopg's errors."""


async def insert(handle: Any) -> None:
    """Write in a block that only sees the program's own error."""
    if isinstance(handle, AsyncPoolHandle):
        async with handle as awaited:
            try:
                await awaited.execute(INSERT)
            except psycopg.Error as error:
                raise RepositoryError from error
    else:
        with handle as connection:
            try:
                connection.execute(INSERT)
            except psycopg.Error as error:
                raise RepositoryError from error


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("said", ["variable", "service"])
async def test_server_turned_read_only_unseen(
    make: Make,
    server: Server,
    database: str,
    kind: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same where the program wraps the error, and libpq's own surroundings say what is asked
    for.
    """
    server.sql("CREATE TABLE t (n int)", database)
    over: dict[str, Any] = {"database": database, "autocommit": True}
    if said == "variable":
        monkeypatch.setenv("PGTARGETSESSIONATTRS", "read-write")
    else:
        services = tmp_path / "services.conf"
        services.write_text("[writes]\ntarget_session_attrs=read-write\n")
        monkeypatch.setenv("PGSERVICEFILE", str(services))
        over["service"] = "writes"
    handle = pooled(make, server, kind, over, max_size=1)
    await select(handle, TURN)
    with pytest.raises(RepositoryError):
        await insert(handle)
    assert await select(handle, INSERT) == 1


def test_transaction_made_read_only(make: Make, server: Server, database: str) -> None:
    """The same error in a transaction that the program made read-only changes nothing."""
    server.sql("CREATE TABLE t (n int)", database)
    over = {"database": database, "target_session_attrs": "read-write"}
    handle = pooled(make, server, "pool", over, max_size=1)
    assert isinstance(handle, PoolHandle)
    pids = set()
    for _ in range(3):
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), handle as connection:
            pids.add(connection.info.backend_pid)
            connection.execute("SET TRANSACTION READ ONLY")
            connection.execute("INSERT INTO t VALUES (1)")
    assert len(pids) == 1


def test_what_a_borrower_changed(make: Make, server: Server) -> None:
    """The next borrower gets the connection as it was made."""
    handle = pooled(make, server, "pool", {}, max_size=1)
    assert isinstance(handle, PoolHandle)
    with handle as connection:
        connection.autocommit = True
        connection.row_factory = rows.dict_row  # type: ignore[assignment]  # as programs do
        connection.cursor_factory = psycopg.ClientCursor
        connection.isolation_level = IsolationLevel.SERIALIZABLE
        connection.read_only = connection.deferrable = True
    with handle as again:
        assert again is connection
        assert (again.autocommit, again.isolation_level) == (False, None)
        assert (again.read_only, again.deferrable) == (None, None)
        assert again.cursor_factory is psycopg.Cursor
        assert again.execute("SELECT 1").fetchone() == (1,)


async def test_what_an_async_borrower_changed(make: Make, server: Server) -> None:
    """The same, asynchronous, and for a transaction that was left open."""
    handle = pooled(make, server, "async_pool", {}, max_size=1)
    assert isinstance(handle, AsyncPoolHandle)
    pool = await handle.open()
    connection = await pool.getconn()
    await connection.set_isolation_level(IsolationLevel.SERIALIZABLE)
    await connection.set_read_only(True)
    connection.row_factory = rows.dict_row  # type: ignore[assignment]  # as programs do
    await connection.execute("SELECT 1")
    await pool.putconn(connection)
    async with handle as again:
        assert again is connection
        assert (again.isolation_level, again.read_only) == (None, None)
        assert await (await again.execute("SELECT 1")).fetchone() == (1,)


@pytest.mark.parametrize("kind", KINDS)
async def test_lifetime_of_idle_connections(
    make: Make, server: Server, database: str, kind: str
) -> None:
    """A connection that nobody uses is replaced when it is too old."""
    handle = pooled(make, server, kind, {"database": database}, max_lifetime=1)
    await filled(handle, 1)
    state = f"SELECT pid FROM pg_stat_activity WHERE datname = '{database}'"
    first = server.sql(state)
    deadline = time.monotonic() + PATIENCE
    while server.sql(state) in (first, []):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


def test_upkeep_rests() -> None:
    """However short a life is, rounds do not follow upon each other without a pause."""
    assert [upkeep.period(seconds) for seconds in (0.1, 1, 40, 3600)] == [1, 1, 10, 30]


@pytest.mark.parametrize("kind", KINDS)
async def test_upkeep_goes_on(
    make: Make, server: Server, database: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A round of upkeep that fails for whatever reason is not the last one."""
    handle = pooled(make, server, kind, {"database": database}, max_lifetime=1)
    pool = await filled(handle, 1)
    (connection,) = pool._pool
    connection.state.used_at = None
    await asyncio.to_thread(wait_until, lambda: "TypeError" in caplog.text)
    connection.state.used_at = time.monotonic()
    await asyncio.to_thread(wait_until, lambda: connection.closed)
    await end(handle)


@pytest.mark.parametrize("kind", KINDS)
async def test_keepalive(make: Make, server: Server, database: str, kind: str) -> None:
    """Upkeep finds the dead among those that idled for long, before any caller does."""
    handle = pooled(make, server, kind, {"database": database}, min_size=2)
    pool = await filled(handle, 2)
    pids = aged(pool, upkeep.KEEPALIVE + 1)
    server.sql(f"SELECT pg_terminate_backend({pids[0]}, 5000)")
    if isinstance(pool, AsyncPool):
        await upkeep._async_round(pool)
        await pool.wait(PATIENCE)
    else:
        upkeep._round(pool)
        pool.wait(PATIENCE)
    assert pids[0] not in {connection.info.backend_pid for connection in pool._pool}
    assert all(time.monotonic() - connection.state.used_at < PATIENCE for connection in pool._pool)


def test_outage(own_server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """Callers that come while the server is down wait, and are served when it is back; the log says
    it once.
    """
    sizes = {"min_size": 4, "timeout": PATIENCE}
    data = {"connection_settings": settings(own_server), "pool_settings": sizes}
    manager = PGConnectionManager()
    handle = manager.get_database_connection_from_dict(data, "pool")
    pool = handle.open()
    pool.wait(PATIENCE)
    own_server.stop()
    aged(pool, 1)

    def ask(_: int) -> Any:
        with handle as connection:
            return connection.execute("SELECT 1").fetchone()

    with ThreadPoolExecutor(8) as threads:
        results = [threads.submit(ask, number) for number in range(8)]
        wait_until(lambda: pool.outage.failure is not None)
        own_server.start()
        assert [each.result(timeout=PATIENCE) for each in results] == [(1,)] * 8
    said = [record for record in caplog.records if record.name == "pgstrata.connect"]
    assert [record.levelname for record in said if record.levelno > logging.INFO] == ["WARNING"]
    assert "tries to connect until it can" in said[0].getMessage()
    wait_until(lambda: pool.outage.failure is None)
    manager.clear_cache()


def test_time_out_in_an_outage(own_server: Server) -> None:
    """Whoever cannot wait longer is told what the last attempt to connect came to."""
    sizes = {"min_size": 1, "timeout": 1}
    data = {"connection_settings": settings(own_server), "pool_settings": sizes}
    manager = PGConnectionManager()
    handle = manager.get_database_connection_from_dict(data, "pool")
    pool = handle.open()
    pool.wait(PATIENCE)
    own_server.stop()
    aged(pool, 1)
    with pytest.raises(PoolTimeoutError) as caught, handle:
        raise AssertionError
    assert "0 idle" in str(caught.value)
    assert isinstance(caught.value.__cause__, psycopg.OperationalError)
    manager.clear_cache()


async def turned_away(handle: PoolHandle | AsyncPoolHandle, server: Server, role: str) -> Outage:
    """Change the password behind a pool's back and end its connections."""
    pool = await filled(handle, 3)
    server.sql(f"ALTER ROLE {role} PASSWORD 'another'")
    for pid in aged(pool, 1):
        server.sql(f"SELECT pg_terminate_backend({pid}, 5000)")
    return pool.outage


async def end(handle: PoolHandle | AsyncPoolHandle) -> None:
    """Close a handle of either kind."""
    if isinstance(handle, AsyncPoolHandle):
        await handle.aclose()
    else:
        handle.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_refused_later(
    make: Make, server: Server, role: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Callers of a pool that worked, and is refused, wait until it is let in; the server is hardly
    asked, and the log says why.
    """
    handle = pooled(make, server, kind, {"user": role}, min_size=3)
    began = time.monotonic()
    outage = await turned_away(handle, server, role)
    asked = [asyncio.create_task(ask(handle)) for _ in range(4)]
    await asyncio.to_thread(wait_until, lambda: outage.failure)
    assert failed_logins(server, role) <= allowed(time.monotonic() - began)
    await asyncio.to_thread(wait_until, lambda: failed_logins(server, role) > 1)
    assert failed_logins(server, role) <= allowed(time.monotonic() - began)
    server.sql(f"ALTER ROLE {role} PASSWORD '{PASSWORD}'")
    assert await asyncio.gather(*asked) == [1] * 4
    assert "tries to connect until it can" in caplog.text
    assert "password authentication failed" in caplog.text
    await end(handle)


async def ask(handle: PoolHandle | AsyncPoolHandle) -> Any:
    """Run a query in a task, also where the handle would block the event loop."""
    if isinstance(handle, AsyncPoolHandle):
        return await select(handle)
    return await asyncio.to_thread(asyncio.run, select(handle))


@pytest.mark.parametrize("kind", KINDS)
async def test_refused_beyond_the_time_out(
    make: Make, server: Server, role: str, kind: str
) -> None:
    """Whoever cannot wait longer is told of the refusal."""
    handle = pooled(make, server, kind, {"user": role}, min_size=3, timeout=0.5)
    await turned_away(handle, server, role)
    with pytest.raises(PoolTimeoutError, match="password authentication failed") as caught:
        await select(handle)
    assert isinstance(caught.value.__cause__, psycopg.OperationalError)
    await end(handle)


@pytest.mark.parametrize("kind", KINDS)
async def test_refused_for_long(make: Make, server: Server, role: str, kind: str) -> None:
    """A refusal that lasts is told at once, hardly asks the server, and ends as soon as it is let
    in.
    """
    sizes = {"min_size": 3, "reconnect_timeout": 0}  # the least that can be long
    handle = pooled(make, server, kind, {"user": role}, **sizes)
    began = time.monotonic()
    await turned_away(handle, server, role)
    for _ in range(20):
        with pytest.raises(ConnectionFailedError, match="password authentication failed"):
            await select(handle)
    assert failed_logins(server, role) <= allowed(time.monotonic() - began)
    server.sql(f"ALTER ROLE {role} PASSWORD '{PASSWORD}'")
    while True:
        with contextlib.suppress(ConnectionFailedError):
            assert await select(handle) == 1
            break
        assert time.monotonic() < began + PATIENCE
    await end(handle)


@pytest.mark.parametrize("kind", KINDS)
async def test_refused_at_opening(make: Make, server: Server, role: str, kind: str) -> None:
    """One attempt is made, and those who come soon afterwards share its failure."""
    handle = pooled(make, server, kind, {"user": role, "password": "wrong"})
    began = time.monotonic()
    for _ in range(5):
        with pytest.raises(ConnectionFailedError) as caught:
            await select(handle)
        assert isinstance(caught.value.__cause__, psycopg.OperationalError)
    assert failed_logins(server, role) <= 1 + int(time.monotonic() - began)


@pytest.mark.parametrize("kind", KINDS)
async def test_full_server_is_waited_for(make: Make, server: Server, role: str, kind: str) -> None:
    """A server that has no room yet is asked again until it has."""
    server.sql(f"ALTER ROLE {role} CONNECTION LIMIT 1")
    handle = pooled(make, server, kind, {"user": role}, max_size=1)
    held = psycopg.connect(**server.keywords(user=role))
    threading.Thread(target=close_when, args=(held, lambda: handle._outage.failure)).start()
    assert await select(handle) == 1
    await end(handle)


def close_when(connection: psycopg.Connection, true: Callable[[], object]) -> None:
    """Close a connection when something is so."""
    wait_until(true)
    connection.close()


def test_part_of_min_size(
    make: Make, server: Server, role: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A pool that cannot have all it wants works with what it has, and warns once."""
    server.sql(f"ALTER ROLE {role} CONNECTION LIMIT 2")
    handle = pooled(make, server, "pool", {"user": role}, min_size=4)
    assert isinstance(handle, PoolHandle)
    wait_until(lambda: handle.open().outage.failure)
    wait_until(lambda: len(handle.open()._pool) == 2)
    with handle as one, handle as two:
        assert one.execute("SELECT 1").fetchone() == two.execute("SELECT 1").fetchone() == (1,)
    warnings = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "too many connections" in warnings[0].getMessage()
    handle.close()


def test_queue_is_bounded(make: Make, server: Server) -> None:
    """The queue has an end by default, and a reason in the reference."""
    handle = pooled(make, server, "pool", {})
    assert handle.plan.pool_options["max_waiting"] == 2000
    assert issubclass(TooManyRequests, psycopg.OperationalError)


@pytest.mark.parametrize("kind", KINDS)
async def test_rotated_password(
    make: Make, server: Server, role: str, tmp_path: Path, kind: str
) -> None:
    """A pool goes over to a new password by itself, once it has connected with it."""
    secret = tmp_path / "password"
    secret.write_text(PASSWORD)
    over = {"user": role, "password": {"from_file": str(secret)}}
    handle = pooled(make, server, kind, over, min_size=2)
    pool = await filled(handle, 2)
    before = set(aged(pool, 0))
    secret.write_text("rotated")
    await round_of(pool)  # the server does not know it yet
    assert set(aged(pool, 0)) == before
    server.sql(f"ALTER ROLE {role} PASSWORD 'rotated'")
    await round_of(pool)
    for _ in range(3):
        assert await select(handle) == 1
    assert not before & set(aged(pool, 0))
    await end(handle)


async def round_of(pool: Pool | AsyncPool) -> None:
    """Do one round of upkeep, and wait until the pool is full."""
    if isinstance(pool, AsyncPool):
        await upkeep._async_round(pool)
        await pool.wait(PATIENCE)
    else:
        upkeep._round(pool)
        pool.wait(PATIENCE)


ROLES = {
    "primary": {"connection_settings": {"target_session_attrs": "read-write"}},
    "replica": {"connection_settings": {"target_session_attrs": "prefer-standby"}},
    "reports": {"connection_settings": {"target_session_attrs": "read-only"}},
    "balanced": {"connection_settings": {"load_balance_hosts": "random"}},
}


def test_roles(make: Make, server: Server, own_server: Server) -> None:
    """Named connections lead to the server of several that fits their role. A read-only pool that
    prefers standbys falls back where there is none.
    """
    own_server.sql("ALTER SYSTEM SET default_transaction_read_only = on")
    own_server.reload()
    hosts: dict[str, Any] = {"host": ["127.0.0.1"] * 2, "port": [own_server.port, server.port]}
    manager = make(settings(server, **hosts), connections=ROLES)

    def port(name: str) -> int:
        with manager.pool(name) as connection:
            return connection.info.port

    assert port("primary") == server.port
    assert port("reports") == own_server.port
    assert port("replica") in (own_server.port, server.port)
    assert {port("balanced") for _ in range(3)} <= {own_server.port, server.port}


READY = b"Z\0\0\0\x05I"  # ReadyForQuery: the end of a log-in


@pytest.mark.parametrize(
    ("kind", "sections"),
    [
        *((kind, {}) for kind in KINDS),
        *(
            (kind, {"pooler": "session", "session_settings": {"lock_timeout": 1}})
            for kind in ("normal", "async")
        ),
    ],
)
async def test_silent_after_log_in(
    make: Make, server: Server, kind: str, sections: dict[str, Any]
) -> None:
    """A server that is silent from its welcome on is given up after ``connect_timeout``, whatever
    it was to be asked first.
    """
    with Proxy((server.host, server.port)) as proxy:
        proxy.last_words = READY
        over = settings(server, port=proxy.port, connect_timeout=2)
        handle = make(over, **sections).get_database_connection(connection_type=kind)
        with pytest.raises(ConnectionFailedError, match="timeout expired"):
            await select(handle)


class Pooler:
    """Stands between, and greets clients with a process of its own, as poolers do."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets = [self._listener]
        self._threads: list[threading.Thread] = []
        self.port = self._listener.getsockname()[1]
        self._start(self._accept)

    def _start(self, work: Callable[..., None], *arguments: socket.socket) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._sockets.append(client)
                server = socket.create_connection((self._server.host, self._server.port))
                self._sockets.append(server)
                self._start(self._copy, client, server)
                self._start(self._copy, server, client)

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                at = data.find(KEY_DATA)
                target.sendall(data if at < 0 else data[: at + 5] + PROCESS + data[at + 9 :])
            target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """End everything."""
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
        for each in self._sockets:
            each.close()


KEY_DATA = b"K\0\0\0\x0c"  # BackendKeyData: the type, the length, then a process and a key
PROCESS = (123_456_789).to_bytes(4, "big")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pooler", [None, "session"])
async def test_pooler(
    make: Make, server: Server, kind: str, pooler: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """A pooler that the configuration does not name is warned of, once for each pool."""
    between = Pooler(server)
    sections = {} if pooler is None else {"pooler": pooler}
    over = settings(server, port=between.port)
    handle = make(over, **sections).get_database_connection(connection_type=kind)
    assert isinstance(handle, PoolHandle | AsyncPoolHandle)
    for _ in range(3):
        assert await select(handle) == 1
    assert caplog.text.count("through a pooler") == (pooler is None)
    await end(handle)
    await asyncio.to_thread(between.close)


def test_no_pooler(make: Make, server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """A server that is connected to directly is taken for what it is."""
    with pooled(make, server, "pool", {}) as connection:  # type: ignore[union-attr]  # a PoolHandle
        connection.execute("SELECT 1")
    assert "pooler" not in caplog.text


INTERNALS = {
    Pool: ("_pool", "_lock", "_waiting", "_closed"),
    AsyncPool: ("_pool", "_lock", "_waiting", "_closed", "_workers", "_sched_runner"),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_internals(make: Make, server: Server, kind: str) -> None:
    """What is used of psycopg_pool's own parts is there, and is what it is taken for."""
    pool = await filled(pooled(make, server, kind, {}), 1)
    assert all(hasattr(pool, name) for name in INTERNALS[type(pool)])
    (connection,) = pool._pool
    assert connection._pool is None
    assert connection._expire_at > time.monotonic()
