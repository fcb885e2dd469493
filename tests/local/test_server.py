from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped]  # it carries no annotations
import psycopg
import pytest

from pgstrata import local
from pgstrata.errors import LocalServerError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START = """
import os, pathlib, sys
from pgstrata import local
print(local.start(pathlib.Path(sys.argv[1])).pid)
"""


def started_elsewhere(project: Path, environ: dict[str, str]) -> subprocess.Popen[str]:
    """Start the project's server from another process."""
    return subprocess.Popen(
        [sys.executable, "-c", START, str(project)],
        env=os.environ | environ,
        stdout=subprocess.PIPE,
        text=True,
    )


def query(server: local.LocalServer, statement: str, dbname: str = "postgres") -> Any:
    """Return the first value of the first row, or None where there are no rows."""
    target = psycopg.conninfo.make_conninfo("", **server.keywords(dbname))
    with psycopg.connect(target, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def kill(server: local.LocalServer) -> None:
    """End the server as a power cut would."""
    process = psutil.Process(server.pid)
    process.kill()
    psutil.wait_procs([process], timeout=10)


@pytest.fixture(scope="module")
def running(
    environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[local.LocalServer]:
    """Return a running server that tests leave as it is."""
    project = tmp_path_factory.mktemp("shared project")
    yield local.start(project, environ=environ)
    local.stop(project, environ=environ)


def test_no_server_yet(project: Path, environ: dict[str, str]) -> None:
    """Looking for a server, or stopping none, leaves no trace."""
    assert local.status(project, environ=environ) is None
    assert local.stop(project, environ=environ) is False
    assert not local.state_directory(project, environ).exists()


def test_start_stop_start(project: Path, environ: dict[str, str]) -> None:
    """A second start finds the server of the first, and data outlive a stop."""
    server = local.start(project, environ=environ)
    assert local.start(project, environ=environ) == server
    assert local.status(project, environ=environ) == server
    query(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    assert local.stop(project, environ=environ) is True
    assert local.status(project, environ=environ) is None
    again = local.start(project, environ=environ)
    assert query(again, "SELECT answer FROM kept") == 42
    assert not (server.directory / "initdb-password").exists()


def test_version_of_the_server(running: local.LocalServer) -> None:
    """The server says what it is, and compares letters of any language."""
    assert query(running, "SHOW server_version_num").startswith(str(running.version))
    assert query(running, "SELECT upper('é')") == "É"


def test_only_loopback_with_a_password(running: local.LocalServer) -> None:
    """It listens nowhere else, and nobody gets in without the password."""
    assert query(running, "SHOW listen_addresses") == "127.0.0.1"
    assert query(running, "SHOW unix_socket_directories") == ""
    keywords = running.keywords("postgres") | {"passfile": os.devnull}
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(psycopg.conninfo.make_conninfo("", **keywords))
    keywords["password"] = running.password.reveal()
    psycopg.connect(psycopg.conninfo.make_conninfo("", **keywords)).close()


def test_password_is_not_shown(running: local.LocalServer) -> None:
    """Neither the server's repr, nor its keywords, nor any process's arguments hold it."""
    password = running.password.reveal()
    arguments = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert password not in repr(running)
    assert password not in str(running.keywords("postgres"))
    assert not any(password in argument for command in arguments for argument in command)


def test_eight_processes_start_one_server(project: Path, environ: dict[str, str]) -> None:
    """Whoever comes first starts it, and all the others get the same one."""
    processes = [started_elsewhere(project, environ) for _ in range(8)]
    pids = {process.communicate(timeout=120)[0] for process in processes}
    server = local.status(project, environ=environ)
    assert server
    assert pids == {f"{server.pid}\n"}


def test_start_after_a_crash(project: Path, environ: dict[str, str]) -> None:
    """A server that was killed under an open session starts again and has its data."""
    server = local.start(project, environ=environ)
    query(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    target = psycopg.conninfo.make_conninfo("", **server.keywords("postgres"))
    with psycopg.connect(target, autocommit=True):
        kill(server)
        assert local.status(project, environ=environ) is None
        assert query(local.start(project, environ=environ), "SELECT answer FROM kept") == 42


def test_pid_of_another_process(project: Path, environ: dict[str, str]) -> None:
    """After a crash the pid may be another process's: that one is no server, and is left alone."""
    server = local.start(project, environ=environ)
    stale = server.directory / "data" / "postmaster.pid"
    text = stale.read_text().replace(str(server.pid), str(os.getppid()), 1)
    kill(server)
    stale.write_text(text)
    assert local.status(project, environ=environ) is None
    assert local.stop(project, environ=environ) is False
    assert local.start(project, environ=environ).pid != os.getppid()


def test_interrupted_first_start(project: Path, environ: dict[str, str]) -> None:
    """Half a cluster is thrown away and made again."""
    directory = local.state_directory(project, environ)
    deadline = time.monotonic() + 60
    with started_elsewhere(project, environ) as process:
        while not list(directory.glob("new-*/base")) and time.monotonic() < deadline:
            time.sleep(0.001)
        process.kill()
    assert list(directory.glob("new-*"))
    assert not (directory / "data").exists()
    assert query(local.start(project, environ=environ), "SELECT 1") == 1


def test_version_of_the_data_decides(project: Path, environ: dict[str, str]) -> None:
    """Data stay with their version: another is refused with what to do."""
    server = local.start(project, version=16, environ=environ)
    assert server.version == 16
    with pytest.raises(LocalServerError, match="of PostgreSQL 16, not 18") as caught:
        local.start(project, version=18, environ=environ)
    assert str(server.directory) in caught.value.hint
    local.stop(project, environ=environ)
    assert local.start(project, environ=environ).version == 16


def test_server_that_does_not_start(project: Path, environ: dict[str, str]) -> None:
    """The end of the log says why."""
    server = local.start(project, environ=environ)
    local.stop(project, environ=environ)
    with (server.directory / "data" / "postgresql.conf").open("a") as conf:
        conf.write("no_such_setting = 1\n")
    with pytest.raises(LocalServerError, match="no_such_setting") as caught:
        local.start(project, environ=environ)
    assert "server.log" in caught.value.hint


def test_databases_are_created_once(running: local.LocalServer) -> None:
    """Many may ask for one database at once; any name will do."""
    name = 'a "quoted" näme; --'
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: local.ensure_database(running, name), range(8)))
    assert query(running, "SELECT current_database()", name) == name


def test_database_that_is_refused(running: local.LocalServer) -> None:
    """PostgreSQL's own reason is passed on."""
    with pytest.raises(LocalServerError, match="cannot be created: zero-length"):
        local.ensure_database(running, "")
