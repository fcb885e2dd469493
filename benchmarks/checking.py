"""How long ``check --all`` takes as a whole process, and how much memory, by environments.

It prints a markdown table, and ends with 1 where a limit is missed.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 7
# Rounds, and the limits in seconds and MB, by the number of environments.
SIZES = {10: (ROUNDS, None), 100: (ROUNDS, (1.5, 150.0)), 1000: (2, None)}
BASE = """\
connection_type: pool
connection_settings: {port: 5432, user: app, dbname: app, connect_timeout: 5}
session_settings: {statement_timeout: 30s, idle_in_transaction_session_timeout: 1min}
pool_settings: {min_size: 2, max_size: 10, max_lifetime: 1800}
services: [{name: web, processes: 2, replicas: 2}, {name: jobs, connection: jobs, types: normal}]
policy:
- require: connection_settings.sslmode
- max: {pool_settings.max_size: 100}
connections:
  analytics: {connection_settings: {dbname: warehouse}}
  audit: {connection_settings: {dbname: audit}}
  jobs: {connection_settings: {user: jobs}}
"""
OVERLAY = """\
protected: true
connection_limit: 300
connection_settings:
  host: [db{0}a.example.com, db{0}b.example.com]
  password: {{from_env: PASSWORD_{0}}}
  sslmode: verify-full
  sslrootcert: system
  target_session_attrs: read-write
pool_settings:
  max_size: {1}
connections:
  analytics:
    connection_settings: {{host: replica{0}.example.com, target_session_attrs: any}}
"""


def main() -> int:
    """Print the table. Return 1 where a limit is missed."""
    print("| environments | `check --all` | of it CPU | memory | must reach |")
    print("|---|---|---|---|---|")
    missed = False
    for environments, (rounds, limits) in SIZES.items():
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), environments)
            runs = [measure(folder, "check", "--all", "--skip-files") for _ in range(rounds)]
        seconds, cpu, memory = (statistics.median(column) for column in zip(*runs, strict=True))
        goal = f"<= {limits[0]:g} s, <= {limits[1]:g} MB" if limits else ""
        took = f"{seconds:.2f} s | {cpu:.2f} s | {memory:.0f} MB"
        print(f"| {environments} | {took} | {goal} |", flush=True)
        missed |= limits is not None and (seconds > limits[0] or memory > limits[1])
    return int(missed)


def write(folder: Path, environments: int) -> None:
    """Write a project of four connections in each of so many environments."""
    (folder / "environments").mkdir()
    (folder / "environments" / "base.yaml").write_text(BASE)
    for number in range(environments):
        text = OVERLAY.format(number, 11 + number % 40)
        (folder / "environments" / f"env{number}.yaml").write_text(text)


def measure(
    folder: str, *arguments: str, codes: tuple[int, ...] = (0,)
) -> tuple[float, float, float]:
    """Return the seconds, those of the CPU, and the megabytes of one process of pgstrata, which has
    to end with one of ``codes``.
    """
    command = [sys.executable, "-m", "pgstrata", "-C", folder, *arguments]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in codes:
        sys.exit(f"{arguments[0]} ended with {process.returncode}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
