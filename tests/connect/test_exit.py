"""Programs that end without closing anything: promptly, quietly, with their own exit code."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.connect.conftest import settings, write
from tests.proxy import Proxy
from tests.servers import Server

PROMISE = 2  # seconds that the end of a program takes at most
SLACK = 5  # how much longer it may take on a busy machine: so many times a bare program's end,
QUICK = 0.3  # or, where that is less, this

START = """
import asyncio, atexit, sys, threading, time
from pgstrata import PGConnectionManager
manager = PGConnectionManager()
def handle(kind):
    return manager.get_database_connection(sys.argv[1], kind)
async def use():
    async with handle("async_pool") as connection:
        await connection.execute("SELECT 1")
def ending():
    print("ending", flush=True)
"""

PROGRAMS = {
    "open pool": """
with handle("pool") as connection:
    connection.execute("SELECT 1")
ending()
sys.exit(7)
""",
    "connection borrowed": """
borrowed = handle("pool").pool.getconn()
entered = handle("pool").connection()
entered.__enter__()
ending()
sys.exit(7)
""",
    "open async pool": """
asyncio.run(use())
ending()
sys.exit(7)
""",
    "exit inside the event loop": """
async def main():
    await use()
    async with handle("async_pool"):
        ending()
        sys.exit(7)
asyncio.run(main())
""",
    "event loop never closed": """
loop = asyncio.new_event_loop()
loop.run_until_complete(use())
ending()
sys.exit(7)
""",
    "event loop in a thread": """
loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()
asyncio.run_coroutine_threadsafe(use(), loop).result()
ending()
sys.exit(7)
""",
    "exception": """
with handle("pool") as connection:
    ending()
    sys.stderr = None
    raise RuntimeError
""",
}


@pytest.fixture(scope="module")
def prompt() -> float:
    """Return how many seconds an end may take on this machine."""
    done, seconds = run("ending()\nsys.exit(7)", Path("none.yaml"))
    assert (done.returncode, done.stderr) == (7, "")
    return PROMISE + SLACK * max(seconds, QUICK)


def run(program: str, config: Path) -> tuple[subprocess.CompletedProcess[str], float]:
    """Run a program; return it, and how long it took from ``ending()`` on."""
    with subprocess.Popen(
        [sys.executable, "-c", START + program, str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        began = time.monotonic()
        try:
            rest, errors = process.communicate(timeout=20)
        finally:
            process.kill()
    assert said == "ending\n", errors
    done = subprocess.CompletedProcess(process.args, process.returncode, rest, errors)
    return done, time.monotonic() - began


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_exit(server: Server, tmp_path: Path, program: str, prompt: float) -> None:
    """Nothing is closed by the program, and nothing is heard of that."""
    config = write(tmp_path / "config.yaml", {"connection_settings": settings(server)})
    done, seconds = run(program, config)
    assert (done.returncode, done.stdout, done.stderr) == (
        1 if "raise" in program else 7,
        "",
        "",
    )
    assert seconds < prompt


HANGING = """
first = handle("pool")
waiting = threading.Thread(target=lambda: first.pool.getconn(60), daemon=True)
with first as opened:
    print("open", flush=True)
    sys.stdin.readline()
    waiting.start()
    while first.pool.get_stats().get("connections_num", 0) < 2:
        time.sleep(0.01)
    ending()
    sys.exit(7)
"""


def test_exit_while_the_server_hangs(server: Server, tmp_path: Path, prompt: float) -> None:
    """Workers that wait for a server which does not answer are not waited for."""
    with Proxy((server.host, server.port)) as proxy:
        seconds, errors = end_while_it_hangs(proxy, server, tmp_path, HANGING)
    assert errors == ""
    assert seconds < prompt


def test_exit_in_a_transaction_while_the_server_hangs(
    server: Server, tmp_path: Path, prompt: float
) -> None:
    """Nor is it waited for a rollback, which closing the connection does as well."""
    program = HANGING.replace('print("open"', 'opened.execute("SELECT 1"), print("open"')
    with Proxy((server.host, server.port)) as proxy:
        seconds, errors = end_while_it_hangs(proxy, server, tmp_path, program)
    assert "error ignored in rollback" in errors
    assert seconds < prompt


def end_while_it_hangs(
    proxy: Proxy, server: Server, tmp_path: Path, program: str
) -> tuple[float, str]:
    """End a program of which one thread has a connection, and one waits for another."""
    over = settings(server, port=proxy.port, connect_timeout=60)
    sections = {"connection_settings": over, "pool_settings": {"min_size": 1, "max_size": 4}}
    config = write(tmp_path / "config.yaml", sections)
    with subprocess.Popen(
        [sys.executable, "-c", START + program, str(config)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            assert process.stdout.readline() == "open\n"
            proxy.hang()
            process.stdin.write("go\n")
            process.stdin.flush()
            assert process.stdout.readline() == "ending\n"
            began = time.monotonic()
            _, errors = process.communicate(timeout=20)
        finally:
            process.kill()
        seconds = time.monotonic() - began
    assert process.returncode == 7, errors
    return seconds, errors


OLD = {"PSYCOPG_IMPL": "python"}  # psycopg with the libpq of the system, by ctypes


def old_libpq() -> bool:
    """Tell whether the system has a libpq that cannot cancel without waiting."""
    version = "from psycopg import pq; raise SystemExit(pq.version() >= 170000)"
    with subprocess.Popen(
        [sys.executable, "-c", version], env={**os.environ, **OLD}, stderr=subprocess.DEVNULL
    ) as asked:
        return asked.wait() == 0


@pytest.fixture(params=["libpq of psycopg", "old libpq"])
def environ(request: pytest.FixtureRequest) -> dict[str, str]:
    """Return the environment of a program, with each libpq that there is."""
    if request.param == "old libpq" and not old_libpq():
        pytest.skip("no libpq before 17 is installed here")
    return {**os.environ, **(OLD if request.param == "old libpq" else {})}


RUNNING = {
    "in an event loop": """
async def work():
    async with handle("async_pool") as connection:
        await connection.execute("SELECT pg_sleep(600) /* left behind */")
threading.Thread(target=lambda: asyncio.run(work()), daemon=True).start()
print("running", flush=True)
sys.stdin.readline()
ending()
sys.exit(7)
""",
    "in another thread": """
def work():
    with handle("pool") as connection:
        connection.execute("SELECT pg_sleep(600) /* left behind */")
threading.Thread(target=work, daemon=True).start()
print("running", flush=True)
sys.stdin.readline()
ending()
sys.exit(7)
""",
    "on a connection that the program closes": """
from pathlib import Path
def work():
    own = PGConnectionManager(project=Path(sys.argv[1]).parents[1], environ={}).connect()
    own.execute("SELECT pg_sleep(600) /* left behind */")
threading.Thread(target=work, daemon=True).start()
print("running", flush=True)
sys.stdin.readline()
ending()
sys.exit(7)
""",
    "when a signal comes": """
import signal
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
with handle("normal") as connection:
    print("running", flush=True)
    threading.Thread(target=lambda: (
        sys.stdin.readline(), ending(), signal.raise_signal(signal.SIGTERM)), daemon=True).start()
    connection.execute("SELECT pg_sleep(600) /* left behind */")
""",
}


@pytest.mark.skipif(sys.platform == "win32", reason="a signal cannot be handled")
@pytest.mark.parametrize("program", RUNNING.values(), ids=RUNNING)
def test_query_does_not_outlive_the_program(
    server: Server, tmp_path: Path, program: str, environ: dict[str, str]
) -> None:
    """What runs on the server when the program ends is cancelled."""
    folder = tmp_path / "environments"
    config = write(folder / "base.yaml", {"connection_settings": settings(server)})
    write(folder / "development.yaml", {})
    left = running("left behind")
    with subprocess.Popen(
        [sys.executable, "-c", START + program, str(config)],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "running\n"
            wait_for(lambda: server.sql(left))
            rest, errors = process.communicate("go\n", timeout=20)
        finally:
            process.kill()
    assert (process.returncode, rest) == (7, "ending\n"), errors
    try:
        wait_for(lambda: not server.sql(left))
    finally:  # what was left would be found by the next test too
        for (pid,) in server.sql(left):
            server.sql(f"SELECT pg_terminate_backend({pid})")


def running(comment: str) -> str:
    """Return a query for the server processes that run statements with a comment."""
    return (
        "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() "
        f"AND query LIKE '%/* {comment} */'"
    )


SILENT = """
def ask(config, kind, comment):
    with manager.get_database_connection(config, kind) as connection:
        connection.execute(f"SELECT pg_sleep(600) /* {comment} */")
async def ask_async(config, kind, comment):
    async with manager.get_database_connection(config, kind) as connection:
        await connection.execute(f"SELECT pg_sleep(600) /* {comment} */")
def begin(work, *arguments):
    threading.Thread(target=work, args=arguments, daemon=True).start()
for kind in ("pool", "pool", "normal"):
    begin(ask, sys.argv[1], kind, "silent")
for kind in ("async_pool", "async"):
    begin(lambda kind: asyncio.run(ask_async(sys.argv[1], kind, "silent")), kind)
begin(ask, sys.argv[2], "pool", "healthy")
print("running", flush=True)
sys.stdin.readline()
ending()
END
sys.exit(7)
"""
ENDS = {"exit": "", "shutdown": "manager.shutdown(0)"}


@pytest.mark.skipif(sys.platform == "win32", reason="a signal cannot be handled")
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize(
    "environ",
    ["libpq of psycopg", "old libpq"],
    indirect=True,
)
def test_silent_connections_delay_the_end_together(
    server: Server, tmp_path: Path, end: str, environ: dict[str, str], prompt: float
) -> None:
    """However many queries of however many pools a silent server has: the end takes no longer than
    with one, and what can be cancelled is.
    """
    healthy = write(tmp_path / "healthy.yaml", {"connection_settings": settings(server)})
    with (
        Proxy((server.host, server.port)) as proxy,
        subprocess.Popen(
            [
                *(sys.executable, "-c", START + SILENT.replace("END", end)),
                *(str(through(proxy, server, tmp_path)), str(healthy)),
            ],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        try:
            wait_for(lambda: len(server.sql(running("silent"))) == 5)
            wait_for(lambda: server.sql(running("healthy")))
            proxy.hang()
            began = time.monotonic()
            rest, errors = process.communicate("go\n", timeout=30)
            seconds = time.monotonic() - began
            wait_for(lambda: not server.sql(running("healthy")))
        finally:
            process.kill()
            for (pid,) in server.sql(running("silent")):
                server.sql(f"SELECT pg_terminate_backend({pid})")
    assert (process.returncode, rest) == (7, "running\nending\n"), errors
    assert seconds < prompt


def through(proxy: Proxy, server: Server, folder: Path) -> Path:
    """Return the configuration of a connection through a proxy."""
    over = settings(server, port=proxy.port, connect_timeout=60)
    return write(folder / "silent.yaml", {"connection_settings": over})


def wait_for(true: Callable[[], object]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
