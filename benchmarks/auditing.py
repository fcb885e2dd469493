"""How long ``audit`` takes as a whole process, and how much memory, on servers of this machine."""

from __future__ import annotations

import socket
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.servers import Server, embedded_bindir

from benchmarks.checking import measure

ROUNDS = 5
ENVIRONMENTS = 50
TIMEOUT = 2  # connect_timeout, in seconds
GOAL_ONE, GOAL_ALL, GOAL_MEMORY = 1.0, 5.0, 150.0  # seconds, seconds, MB
CONF = "max_connections = 150"
BASE = """\
connection_type: pool
connection_settings: {{user: {0.superuser}, password: {0.password}, dbname: postgres}}
session_settings: {{statement_timeout: 30s, idle_in_transaction_session_timeout: 1min}}
services: [{{name: web, processes: 2, replicas: 2}}]
"""
OVERLAY = "connection_settings: {{host: {host}, port: {port}, connect_timeout: {timeout}}}\n"


def main() -> int:
    """Print the table. Return 1 where a goal was missed."""
    with ExitStack() as stack:
        running = [
            stack.enter_context(Server.running(embedded_bindir(version), conf=CONF))
            for version in (18, 16)
        ]
        hole = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        _write(folder, running, hole.getsockname()[1])
        cases = {
            "one environment": (["-e", "env0"], GOAL_ONE),
            f"{ENVIRONMENTS} environments": ([*_named(ENVIRONMENTS)], GOAL_ALL),
            f"{ENVIRONMENTS} environments and one that hangs for {TIMEOUT} s": (
                ["--all"],
                GOAL_ALL + TIMEOUT,
            ),
        }
        return _table(folder, cases)


def _write(folder: Path, servers: list[Server], hole: int) -> None:
    environments = folder / "environments"
    environments.mkdir()
    (environments / "base.yaml").write_text(BASE.format(servers[0]))
    for number in range(ENVIRONMENTS):
        server = servers[number % len(servers)]
        text = OVERLAY.format(host=server.host, port=server.port, timeout=5)
        (environments / f"env{number}.yaml").write_text(text)
    text = OVERLAY.format(host="127.0.0.1", port=hole, timeout=TIMEOUT)
    (environments / "hole.yaml").write_text(text)


def _named(number: int) -> list[str]:
    return [part for n in range(number) for part in ("-e", f"env{n}")]


def _table(folder: Path, cases: dict[str, tuple[list[str], float]]) -> int:
    rounds = [
        {
            name: measure(str(folder), "audit", *arguments, codes=(1, 3))
            for name, (arguments, _) in cases.items()
        }
        for _ in range(ROUNDS)
    ]
    print("| | seconds | goal | CPU seconds | MB |\n|---|---|---|---|---|")
    missed = False
    for name, (_, goal) in cases.items():
        figures = zip(*(one[name] for one in rounds), strict=True)
        seconds, cpu, memory = (statistics.median(values) for values in figures)
        missed |= seconds > goal or memory > GOAL_MEMORY
        print(f"| {name} | {seconds:.2f} | {goal:.1f} | {cpu:.2f} | {memory:.0f} |")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
