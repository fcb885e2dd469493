"""Import, export and copy against psql and pg_dump: whole processes, paired in rounds.

Run from the project's folder: ``python -m benchmarks.tables`` takes a quarter of an hour, with
``--quick`` two minutes, whose start-up weighs too much for the limits to mean anything. Every round
runs each case once, next to its baseline, and every other round in the opposite order; a ratio is
the median of the rounds' ratios. It prints a markdown table, and ends with 1 where something is
above its limit. ``peak`` is the largest resident memory of the process; it is never less than that
of this program, which starts it.

The code runs compiled, as an installed package does. Other work on the machine spoils the numbers:
the load before the first round is printed with them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from math import isfinite
from pathlib import Path

from tests.servers import Server, embedded_bindir

from benchmarks.table_cases import (
    Case,
    importing,
    large,
    leaving,
    monkeys,
    ours,
    psql,
    rejecting,
)
from benchmarks.table_files import COLUMNS, DDL, make_file, repeat, spoil
from benchmarks.table_programs import EARLY, EXPORT

SECONDS, SENT = 0.5, 2_000_000  # of a bad row near the start: time to its report, bytes sent
BIG = 10**9  # bytes


def timed(case: Case) -> tuple[float, int]:
    """Run a case; return its seconds and the largest resident memory of its processes in MiB."""
    if case.table:
        case.server.sql(f"TRUNCATE {case.table}", case.database)
    case.server.sql("CHECKPOINT")
    if sys.platform != "win32":
        os.sync()  # what the case before has left to be written must not slow this one
    start = time.perf_counter()
    process = subprocess.Popen(case.command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    seconds = float(said) if case.running else time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{case.name} failed")
    return seconds, int(used.ru_maxrss / 1024)


def measure(found: list[Case], rounds: int) -> bool:
    """Run the cases, print their rows of the table, and return whether all kept their limits."""
    taken = [
        {case.name: timed(case) for case in found[:: -1 if number % 2 else 1]}
        for number in range(rounds)
    ]
    kept = True
    for case in found:
        seconds = statistics.median(one[case.name][0] for one in taken)
        peak = max(one[case.name][1] for one in taken)
        row = f"| {case.name} | {seconds:.2f} s |"
        if case.baseline:
            ratio = statistics.median(one[case.name][0] / one[case.baseline][0] for one in taken)
            kept &= ratio <= case.limit
            row += f" {ratio:.2f} x {case.baseline} | {goal(case.limit)} |"
        else:
            row += " | |"
        kept &= peak <= case.memory
        print(f"{row} {peak} | {goal(case.memory)} |", flush=True)
    return kept


def goal(limit: float) -> str:
    """Return a limit in words."""
    return f"<= {limit}" if isfinite(limit) else ""


def early(server: Server, big: Path) -> bool:
    """Import a file with a bad row near its start, print when that is said, and return if early."""
    bad = spoil(big, big.with_name("early.csv"))
    command = ours(server, EARLY.format(file=str(bad)))
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    seconds, sent = map(float, done.stdout.split())
    kept = seconds <= SECONDS and sent <= SENT
    print(f"\nA bad first row in {bad.stat().st_size / 1e6:.0f} MB is reported after", end=" ")
    print(f"{seconds:.2f} s (<= {SECONDS}); at most {sent / 1e6:.2f} MB were sent (<= 2).")
    return kept


def start_up() -> float:
    """Return the seconds that Python takes to start and to import psycopg, which psql does not."""
    taken = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import psycopg"], check=True)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def prepare(server: Server) -> None:
    """Create the databases and tables."""
    for database in ("one", "two"):
        server.sql(f"CREATE DATABASE {database}")
        for table in ("m", "keyed", "full_m"):
            server.sql(f"CREATE TABLE {table} {DDL}", database)
        server.sql("ALTER TABLE keyed ADD PRIMARY KEY (id)", database)
        server.sql(
            f"CREATE TABLE texts ({', '.join(f'{name} text' for name in COLUMNS)})", database
        )


def main() -> int:
    """Measure and print. Return 1 if a limit was missed."""
    parser = argparse.ArgumentParser(description="see the top of the file")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--quick", action="store_true", help="3 rounds of a tenth of the rows")
    given = parser.parse_args()
    rows, rounds = (100_000, 3) if given.quick else (given.rows, given.rounds)
    conf = "shared_buffers = 1GB\nmax_wal_size = 8GB\nautovacuum = off\nfsync = on"
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        new, old = (
            stack.enter_context(Server.running(embedded_bindir(v), conf=conf)) for v in (18, 16)
        )
        os.environ.update(PGPASSWORD=new.password, PYTHONPYCACHEPREFIX=str(folder / "compiled"))
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        for server in (new, old):
            prepare(server)
        files = {
            b: make_file(folder / f"{b}.csv", rows, b) for b in (0, rows // 10**4, rows // 100)
        }
        filled = f"\\copy full_m from '{files[0]}' (format csv, header)"
        subprocess.run(psql(new, filled), check=True)
        subprocess.run(ours(new, EXPORT.format(file=str(folder / "warm"))), check=True)
        print(f"{rows} rows, {files[0].stat().st_size / 1e6:.0f} MB, {rounds} rounds;", end=" ")
        print(f"load before the first {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores\n")
        print("| process | median | ratio | must reach | peak MiB | must reach |")
        print("|---|---:|---:|---:|---:|---:|")
        kept = measure(importing(new, files[0]), rounds)
        kept &= measure(rejecting(new, files, (1.08, 1.2, 1.5)), rounds)
        kept &= measure(rejecting(old, files, (1.08, 2.5, 10.0)), min(rounds, 5))
        kept &= measure(leaving(new, folder), rounds)
        measure(monkeys(new, files[0], folder), min(rounds, 3))
        big = repeat(files[0], folder / "big.csv", BIG // 10 if given.quick else BIG)
        kept &= measure(large(new, big), min(rounds, 5))
        kept &= early(new, big)
        print(f"\nPython takes {start_up():.2f} s to start and import psycopg, in each process of")
        print("ours but the running programs, and not in those of psql and pg_dump.")
        print("`psycopg alone` is the least that a Python program does for it: nothing is found")
        print("out, counted, verified or undone there.")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
