"""Faults of the client's own process: it is killed, told to end, forks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import IO

from tests.faults.ledger import PATIENCE
from tests.faults.program import QUERY
from tests.faults.stage import Outcome, Stage
from tests.servers import Server

ROOT = Path(__file__).parents[2]
INTERVAL = 1000  # ms between the server's looks at whether its client is still there
LIVES_ON = 12.0  # seconds; the query itself takes 20
RUNNING = f"SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query = '{QUERY}'"


def killed(stage: Stage) -> Outcome:
    """Kill the program; how long its query lives on."""
    settings = stage.settings(session={"client_connection_check_interval": INTERVAL})
    with running(stage, "query", settings) as (program, _):
        until(stage.server, there=True)
        program.kill()
        began = monotonic()
        until(stage.server, there=False)
        return Outcome(monotonic() - began)


def told_to_end(stage: Stage) -> Outcome:
    """Send SIGTERM during a query; how long until the program has ended, and its query too."""
    with running(stage, "query", stage.settings()) as (program, _):
        until(stage.server, there=True)
        began = monotonic()
        program.terminate()
        program.wait(2 * PATIENCE)
        ended = monotonic() - began
        until(stage.server, there=False)
        alive = () if monotonic() - began < LIVES_ON else ("its query lives on",)
        status = () if program.returncode == 0 else (f"ended with {program.returncode}",)
        return Outcome(ended, {}, alive + status)


def forked(stage: Stage) -> Outcome:
    """Fork under load: parent and children share no connection."""
    began = monotonic()
    action = "few_forks" if stage.short else "fork"
    with running(stage, action, stage.settings()) as (program, said):
        try:
            program.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            return Outcome(PATIENCE, {}, ("parent or child hangs",))
        bad = json.loads(said.readline() or '["the program died"]')
        return Outcome(monotonic() - began, {}, tuple(bad))


@contextmanager
def running(
    stage: Stage, action: str, settings: dict[str, object]
) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """Run the program; give it and what it says. Kill it at the end where it still runs."""
    with (
        (stage.folder / "stderr").open("w") as stderr,
        subprocess.Popen(
            [sys.executable, "-m", "tests.faults.program", stage.subject, action],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                "TMPDIR": str(stage.folder),  # a program that is killed leaves files behind
            },
            text=True,
            start_new_session=True,
        ) as program,
    ):
        assert program.stdin is not None
        assert program.stdout is not None
        try:
            print(json.dumps(settings), file=program.stdin, flush=True)
            yield program, program.stdout
        finally:
            end(program)


def end(program: subprocess.Popen[str]) -> None:
    """Kill the program, and children of it that hang."""
    program.kill()
    if sys.platform != "win32":
        with suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)


def until(server: Server, *, there: bool) -> None:
    """Wait until the program's query runs, or does not any more."""
    deadline = monotonic() + PATIENCE
    while bool(server.sql(RUNNING)) is not there:
        assert monotonic() < deadline, f"a query runs: {not there}"
        sleep(0.01)
