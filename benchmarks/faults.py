"""Each fault of ``tests.faults.rows``, against pgstrata, psycopg_pool and pgmonkey in one run.

    PYTHONPATH=src python -m benchmarks.faults [TIMES] [ROW ...]

psycopg_pool and pgmonkey have their defaults, and the time-outs of libpq that pgstrata is given
too. pgmonkey is installed into a temporary folder; where it cannot be had, that is said. Prints a
markdown table, and ends with 1 where pgstrata misses a gate.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from math import inf, isfinite
from pathlib import Path
from statistics import median
from time import monotonic

from tests.conftest import find_tls
from tests.faults.ledger import PATIENCE
from tests.faults.rows import ROWS, Row
from tests.faults.stage import CONF, Outcome, Stage
from tests.servers import Server, embedded_bindir

from benchmarks import pgmonkey

TIMES = 5
LEGEND = """\
Medians of up to 5 plays: the seconds until the first success after the fault was over, or until
what the row says, and the errors that clients saw, of which there are 4 under load.
"""
ENOUGH = 15.0  # seconds for each fault of what is only compared with
OTHERS = {"pool": ("raw_pool", "pgmonkey"), "async_pool": ("raw_async_pool",)}


def main(times: int = TIMES, names: Sequence[str] = tuple(ROWS)) -> int:
    """Play the faults, print the table, and return the exit code."""
    logging.disable(logging.CRITICAL)
    installed = find_tls()
    bindir = embedded_bindir() if isinstance(installed, str) else installed
    met = True
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if monkey := pgmonkey.install(folder):
            sys.path.append(str(monkey))
        print(LEGEND)
        print("| fault | pgstrata | psycopg_pool | pgmonkey | must reach |")
        print("|---|---|---|---|---|")
        for name in names:
            row = ROWS[name]
            with Server.running(bindir, conf=CONF) as server:
                met &= line(row, server, folder, times, monkey=monkey is not None)
    return int(not met)


def line(row: Row, server: Server, folder: Path, times: int, *, monkey: bool) -> bool:
    """Print one line of the table, and tell whether the gate was reached."""
    kind = row.kinds[0]
    if missing := row.needs(server):
        print(f"| {row.title} | not measured: {missing} | | | |")
        return True
    times = min(times, row.times)
    ours = play(row, Stage(kind, server, folder), times)
    others = [
        shown(play(row, Stage(other, server, folder), times, ENOUGH))
        for other in OTHERS[kind]
        if monkey or other != "pgmonkey"
    ]
    cells = [*others, *["-"] * (2 - len(others))]
    print(f"| {row.title} | {shown(ours)} | {' | '.join(cells)} | {goal(row)} |", flush=True)
    return reached(row, ours)


def play(row: Row, stage: Stage, times: int, enough: float = inf) -> list[Outcome]:
    """Return what came of the fault so many times, or for ``enough`` seconds; once where it did not
    end well.
    """
    outcomes: list[Outcome] = []
    until = monotonic() + enough
    while len(outcomes) < times and (not outcomes or monotonic() < until):
        try:
            outcomes.append(row.play(stage))
        except (AssertionError, subprocess.TimeoutExpired):
            return [Outcome(PATIENCE, {}, (f"not within {PATIENCE:g} s",))]
        except Exception as error:  # noqa: BLE001  # the others' failures are results
            return [Outcome(0.0, {}, (f"{type(error).__name__}",))]
    return outcomes


def shown(outcomes: list[Outcome]) -> str:
    """Return the medians, and what should never be."""
    wrong = sorted({word.split(":")[0] for outcome in outcomes for word in outcome.wrong})
    if wrong and len(outcomes) == 1:
        return ", ".join(wrong[:2])
    seconds = f"{median(outcome.seconds for outcome in outcomes):.2f} s"
    errors = median(outcome.failed for outcome in outcomes)
    return ", ".join([seconds, f"{errors:g} errors", *wrong[:2]])


def goal(row: Row) -> str:
    """Return the gate in words."""
    parts = [f"<= {row.seconds:g} s"] if isfinite(row.seconds) else []
    return ", ".join([*parts, *([f"<= {row.errors:g} errors"] if isfinite(row.errors) else [])])


def reached(row: Row, outcomes: list[Outcome]) -> bool:
    """Tell whether the medians are within the gate, and nothing went wrong."""
    return (
        median(outcome.seconds for outcome in outcomes) <= row.seconds
        and median(outcome.failed for outcome in outcomes) <= row.errors
        and not any(outcome.wrong for outcome in outcomes)
    )


if __name__ == "__main__":
    sys.exit(
        main(
            int(sys.argv[1]) if len(sys.argv) > 1 else TIMES,
            sys.argv[2:] or tuple(ROWS),
        )
    )
