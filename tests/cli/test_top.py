"""``pgstrata top`` on a real server, a real metrics page, and a terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import psycopg
import pytest
from prometheus_client import CollectorRegistry, make_wsgi_app
from tests.cli.conftest import SERVER, SOURCE, Cli
from tests.servers import PASSWORD, Server

from pgstrata import PGConnectionManager
from pgstrata.connect.application import fingerprint
from pgstrata.observe.prometheus import PoolCollector

Write = Callable[..., None]
PATIENCE = 60  # seconds that nothing here takes, unless it hangs


@pytest.fixture
def shop(write: Write, project: Path, server: Server, database: str) -> Path:
    """Return a project with an environment on an empty database."""
    said = {"host": server.host, "port": server.port, "user": server.superuser}
    base = SERVER.format(**{"password": PASSWORD, **said})
    write(base=base.replace("dbname: postgres", f"dbname: {database}"), development="")
    return project


def manager_of(folder: Path) -> PGConnectionManager:
    """Return a manager for the project."""
    return PGConnectionManager("development", project=folder, environ={})


def test_clients_are_shown_by_their_name(cli: Cli, shop: Path) -> None:
    """Programs of the environment, those with other settings, and those of others."""
    manager = manager_of(shop)
    given = manager.keywords()
    stale = {**given, "fallback_application_name": "worker@development#00000000"}
    other = {**given, "application_name": "by\x1bhand"}
    with manager.normal(), psycopg.connect(**stale) as busy, psycopg.connect(**other):
        busy.execute("SELECT 1")
        done = cli("top", "--once")
    assert (done.code, done.err) == (0, "")
    head, _, header, *rows = done.out.splitlines()
    assert head.startswith(f"development: database {given['dbname']}, PostgreSQL ")
    assert header.split()[:3] == ["APPLICATION", "USER", "CONNECTIONS"]
    found = {row.split()[0]: row.split() for row in rows if " postgres " in row}
    mine = manager.config.connection("default")
    (same,) = (row for row in found.values() if row[-1] == "same")
    assert same[0].endswith(f"@development#{fingerprint(mine)}")
    assert found["worker@development#00000000"][2:7] == ["1", "0", "0", "1", "0"]
    assert found["worker@development#00000000"][-1] == "other"
    assert "\x1b" not in done.out
    assert done.out.rstrip().endswith("other settings than those that are read here")


def test_json(cli: Cli, shop: Path) -> None:
    """It has all that the table has."""
    with manager_of(shop).normal():
        shape = cli("top", "--format", "json").json
    assert (shape["environment"], shape["pools"]) == ("development", None)
    (client,) = shape["server"]["clients"]
    assert (client["connections"], client["settings"], client["hidden"]) == (1, "same", 0)
    assert 0 < shape["server"]["connections"] <= shape["server"]["allowed"]


def test_what_a_role_may_not_see_is_said(
    cli: Cli, shop: Path, server: Server, database: str
) -> None:
    """Other roles' names are seen, and not what they do."""
    role = f"watcher_{database}"
    server.sql(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
    try:
        path = shop / "environments" / "development.yaml"
        path.write_text(f"connection_settings: {{user: {role}}}\n")
        given = {**manager_of(shop).keywords(), "user": "postgres", "application_name": "hidden"}
        with psycopg.connect(**given):
            done = cli("top", "--once")
        (row,) = (line for line in done.out.splitlines() if line.startswith("hidden"))
        assert row.split()[2:7] == ["1", "?", "?", "?", "?"]
        assert "only members of pg_read_all_stats" in done.out
    finally:
        server.sql(f"DROP ROLE {role}")


class Silent(WSGIRequestHandler):
    """Writes no log."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def page(app: Any) -> Iterator[str]:
    """Serve an application, and yield its address."""
    with make_server("127.0.0.1", 0, app, handler_class=Silent) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_port}/metrics"
        finally:
            running.shutdown()
            thread.join()


def test_pools_of_a_program(cli: Cli, shop: Path) -> None:
    """What its metrics page says of its pools, without asking the server."""
    manager = manager_of(shop)
    registry = CollectorRegistry()
    registry.register(PoolCollector(manager))
    with manager.pool(), page(make_wsgi_app(registry)) as url:
        done = cli("top", "--url", url, "--once")
        both = cli("top", "--url", url, "-e", "development", "--format", "json").json
    manager.clear_cache()
    assert (done.code, done.err) == (0, "")
    _, row = (line.split() for line in done.out.splitlines())
    assert row[:3] == ["development/default", "pool", "1"]
    (pool,) = both["pools"]
    assert (pool["used"], pool["max_size"], pool["errors"]) == (1, 4, 0)
    assert both["server"]["database"]


def test_an_address_that_leads_nowhere(cli: Cli, project: Path) -> None:
    """It is said what is wrong, and nothing of a password."""

    def missing(_: Any, start: Any) -> list[bytes]:
        start("404 Not Found", [])
        return [b""]

    with page(missing) as url:
        done = cli("top", "--once", "--url", url)
    assert (done.code, done.out) == (1, "")
    assert "127.0.0.1 answers with status 404" in done.err
    done = cli("top", "--once", "--url", url)  # nobody listens there any more
    assert done.code == 1
    assert "cannot read the metrics of 127.0.0.1" in done.err
    for wrong in ("file:///etc/passwd", "http://me:s3cret@localhost/", "localhost"):
        done = cli("top", "--once", "--url", wrong)
        assert done.code == 2
        assert "s3cret" not in done.err


def test_a_server_that_cannot_be_reached(cli: Cli, write: Write, server: Server) -> None:
    """It is an error like that of any other command."""
    said = {"host": server.host, "port": server.port, "user": "nobody", "password": "x"}
    write(base=SERVER.format(**said), development="")
    done = cli("top")
    assert (done.code, done.out) == (1, "")
    assert "password authentication failed" in done.err


COMMAND = [sys.executable, "-m", "pgstrata", "top", "--interval", "0.1"]
ENVIRON = {**os.environ, "PYTHONPATH": str(SOURCE), "TERM": "xterm"}


@pytest.mark.skipif(os.name != "posix", reason="signals are those of POSIX")
def test_without_a_terminal_one_look_follows_the_other(shop: Path) -> None:
    """They are plain text, until Ctrl-C."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with (
        manager_of(shop).normal(),  # somebody is there to be shown
        subprocess.Popen(COMMAND, cwd=shop, env=ENVIRON, **pipes) as running,
    ):
        assert running.stdout is not None
        seen = 0
        while seen < 2:
            line = running.stdout.readline()
            assert line
            assert "\x1b" not in line
            seen += line.startswith("APPLICATION")
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=PATIENCE)
    assert (running.returncode, err.strip()) == (130, "pgstrata: interrupted")


@pytest.mark.skipif(os.name != "posix", reason="signals are those of POSIX")
def test_a_server_that_ends_the_session_is_looked_at_again(
    shop: Path, server: Server, database: str
) -> None:
    """Why a look failed is shown in its place, above what was seen last; the next one connects."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(COMMAND, cwd=shop, env=ENVIRON, **pipes) as running:
        assert running.stdout is not None
        lines = iter(running.stdout.readline, "")

        def until(start: str) -> str:
            return next((line for line in lines if line.startswith(start)), "")

        head = until("development: ").rpartition(",")[0]
        assert database in head
        server.sql(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"
        )
        assert "terminating connection" in until("the server cannot be asked: ")
        assert next(lines) == "\n"
        assert next(lines).startswith(head)
        assert until("development: ").startswith(head)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=PATIENCE)
    assert (running.returncode, err.strip()) == (130, "pgstrata: interrupted")


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(("how", "code"), [("q", 0), (signal.SIGINT, 130), (signal.SIGTERM, 130)])
def test_a_terminal_is_left_as_it_was(shop: Path, how: Any, code: int) -> None:
    """The view is on a screen of its own, and refreshed there; keys are not shown."""
    import pty
    import termios

    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    pipes: dict[str, Any] = {"stdin": theirs, "stdout": theirs, "stderr": subprocess.PIPE}
    with (
        manager_of(shop).normal(),
        subprocess.Popen(COMMAND, cwd=shop, env=ENVIRON, **pipes) as running,
    ):
        shown = b""
        while shown.count(b"APPLICATION") < 2:
            shown += os.read(ours, 65536)
        if how == "q":
            os.write(ours, b"xq")
        else:
            running.send_signal(how)
        ended = threading.Thread(target=running.wait)
        ended.start()
        while b"\x1b[?1049l" not in shown:
            shown += os.read(ours, 65536)
        ended.join(PATIENCE)
    assert running.returncode == code
    assert b"\x1b[?1049h" in shown
    after = termios.tcgetattr(theirs)
    os.close(ours)
    os.close(theirs)
    assert after == before
