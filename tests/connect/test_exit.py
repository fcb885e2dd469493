"""Programs that end without closing anything: promptly, quietly, with their own exit code."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.connect.conftest import settings, write
from tests.proxy import Proxy
from tests.servers import Server

PROMPT = 10  # seconds; 2 on a machine that does nothing else, 20 where a thread is waited for

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
def test_exit(server: Server, tmp_path: Path, program: str) -> None:
    """Nothing is closed by the program, and nothing is heard of that."""
    config = write(tmp_path / "config.yaml", {"connection_settings": settings(server)})
    done, seconds = run(program, config)
    assert (done.returncode, done.stdout, done.stderr) == (
        1 if "raise" in program else 7,
        "",
        "",
    )
    assert seconds < PROMPT


HANGING = """
first = handle("pool")
waiting = threading.Thread(target=lambda: first.pool.getconn(60), daemon=True)
with first:
    print("open", flush=True)
    sys.stdin.readline()
    waiting.start()
    while first.pool.get_stats().get("connections_num", 0) < 2:
        time.sleep(0.01)
    ending()
    sys.exit(7)
"""


def test_exit_while_the_server_hangs(server: Server, tmp_path: Path) -> None:
    """Workers that wait for a server which does not answer are not waited for."""
    with Proxy((server.host, server.port)) as proxy:
        end_while_it_hangs(proxy, server, tmp_path)


def end_while_it_hangs(proxy: Proxy, server: Server, tmp_path: Path) -> None:
    """End a program of which one thread has a connection, and one waits for another."""
    over = settings(server, port=proxy.port, connect_timeout=60)
    sections = {"connection_settings": over, "pool_settings": {"min_size": 1, "max_size": 4}}
    config = write(tmp_path / "config.yaml", sections)
    with subprocess.Popen(
        [sys.executable, "-c", START + HANGING, str(config)],
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
    assert (process.returncode, errors) == (7, "")
    assert time.monotonic() - began < PROMPT


RUNNING = {
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
def test_query_does_not_outlive_the_program(server: Server, tmp_path: Path, program: str) -> None:
    """What runs on the server when the program ends is cancelled."""
    config = write(tmp_path / "config.yaml", {"connection_settings": settings(server)})
    left = "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%/* left behind */' AND pid <> "
    left += "pg_backend_pid() AND state = 'active'"
    with subprocess.Popen(
        [sys.executable, "-c", START + program, str(config)],
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
    wait_for(lambda: not server.sql(left))


def wait_for(true: Callable[[], object]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
