"""Faults of single sessions, and of what the server has no more of."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import monotonic, sleep

import psycopg
from tests.faults.ledger import PATIENCE
from tests.faults.stage import Outcome, Stage, answering, outcome, terminate
from tests.faults.subjects import Borrow
from tests.servers import PASSWORD, Server

RECOVERS = "all server processes terminated; reinitializing"
IDLE = 0.7  # seconds; from half a second on, pgstrata looks before it lends


def idle(stage: Stage, size: int = 4) -> Outcome:
    """End all sessions of an idle pool; the time until the first is served again, and how
    many are not.
    """
    settings = stage.settings(pool={"min_size": size, "max_size": size, "timeout": 30})
    with stage.opened(settings) as borrow:
        together(borrow, size)
        idled(stage.server)
        terminate(stage.server)
        return served(borrow, 2 * size)


def busy(stage: Stage) -> Outcome:
    """End all sessions while clients use them."""
    with stage.loaded() as load:
        began = monotonic()
        terminate(stage.server)
        recovered = load.success(monotonic()) - began
        load.everybody(monotonic())
        return outcome(load, recovered)


def killed(stage: Stage) -> Outcome:
    """Kill one backend, so that the server ends all the others and recovers."""
    before = stage.server.log_text().count(RECOVERS)
    with stage.loaded() as load:
        (pid,) = stage.server.sql(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' "
            "AND pid <> pg_backend_pid() LIMIT 1"
        )[0]
        began = monotonic()
        os.kill(pid, signal.SIGKILL)
        load.failure(began)
        while stage.server.log_text().count(RECOVERS) == before:
            sleep(0.02)  # until then, sessions that will be ended still answer
        load.everybody(answering(stage.server))
        return outcome(load, load.slowest(began))


def exhausted(stage: Stage) -> Outcome:
    """Allow the role 3 sessions, where the pool asks for 8."""
    with role(stage.server, "CONNECTION LIMIT 3") as name:
        settings = stage.settings(user=name, pool={"min_size": 1, "max_size": 8, "timeout": 30})
        with stage.loaded(settings, clients=8) as load:
            began = monotonic()
            load.everybody(began)
            return outcome(load, monotonic() - began)


def disk_full(stage: Stage) -> Outcome:
    """Fill the disk below a table; the pool keeps its connections, and serves other tables."""
    with small_tablespace(stage) as space, stage.opened() as borrow:
        stage.server.sql(f"CREATE TABLE fills TABLESPACE {space} AS SELECT 1 AS n LIMIT 0")
        try:
            before = pids(borrow)
            error = _error(borrow, "INSERT INTO fills SELECT generate_series(1, 1000000)")
            wrong = [] if isinstance(error, psycopg.errors.DiskFull) else [f"met {error!r}"]
            wrong += [] if pids(borrow) <= before else ["connections were dropped"]
            return Outcome(0.0, {}, tuple(wrong))
        finally:
            stage.server.sql("DROP TABLE fills")


def together(borrow: Borrow, size: int) -> set[int]:
    """Borrow so many connections at once, and return the ids of their backends."""
    everybody = threading.Barrier(size)

    def pid() -> int:
        with borrow() as session:
            row = session.execute("SELECT pg_backend_pid()").fetchone()
            everybody.wait(PATIENCE)
        return int(row[0]) if row else 0

    with ThreadPoolExecutor(size) as threads:
        return {future.result() for future in [threads.submit(pid) for _ in range(size)]}


def idled(server: Server) -> None:
    """Wait until no session was used for IDLE: a pool may trust what was in use just before."""
    busy = (
        "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'client backend' "
        f"AND pid <> pg_backend_pid() AND state_change > clock_timestamp() - interval '{IDLE} s'"
    )
    deadline = monotonic() + PATIENCE
    while server.sql(busy):
        assert monotonic() < deadline, "the pool never idles"
        sleep(0.02)


def pids(borrow: Borrow) -> set[int]:
    """Return the ids of the backends behind the pool, which is idle."""
    return together(borrow, 4)


def served(borrow: Borrow, times: int) -> Outcome:
    """Borrow so many times; the time until the first success, and the errors."""
    began, first = monotonic(), 0.0
    errors: Counter[str] = Counter()
    for _ in range(times):
        error = _error(borrow, "SELECT 1")
        if error is not None:
            errors[type(error).__name__] += 1
        elif not first:
            first = monotonic() - began
    return Outcome(first, errors, () if first else ("never served again",))


@contextmanager
def role(server: Server, clauses: str) -> Iterator[str]:
    """Make a role that may log in and write anywhere, with the password of the tests."""
    name = "limited"
    server.sql(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}' {clauses}")
    server.sql(f"GRANT pg_write_all_data TO {name}")
    try:
        yield name
    finally:
        server.sql(f"DROP ROLE {name}")


@contextmanager
def small_tablespace(stage: Stage) -> Iterator[str]:
    """Make a tablespace of 4 MB, which only root can mount."""
    folder = stage.server.directory / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=True)
    try:
        if stage.server.account:
            stage.server.account.own(folder)
        stage.server.sql(f"CREATE TABLESPACE small LOCATION '{folder}'")
        yield "small"
        stage.server.sql("DROP TABLESPACE small")
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        folder.rmdir()


def _error(borrow: Borrow, query: str) -> Exception | None:
    try:
        with borrow() as session:
            session.execute(query)
    except Exception as error:  # noqa: BLE001  # whatever the pool raises is the result
        return error
    return None
