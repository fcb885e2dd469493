"""How long the command line takes to start, as whole processes: ``pgstrata --help`` and completion.

Each round times the three commands one after the other, so that what else the machine does hits
all alike; a ratio is the median of the rounds' ratios. It prints a markdown table, and ends with 1
where a ratio is above the limit.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from time import perf_counter

ROUNDS = 25
LIMIT = 1.5
MEASURE = "import click, yaml"
PGSTRATA = "from pgstrata.cli import main; main()"
COMPLETION = {
    "_PGSTRATA_COMPLETE": "bash_complete",
    "COMP_WORDS": "pgstrata show -e ",
    "COMP_CWORD": "3",
}


def main() -> int:
    """Measure, print the table, and return the exit code."""
    with tempfile.TemporaryDirectory() as project:
        _run([PGSTRATA, "-C", project, "init"])
        rounds = [_round(project) for _ in range(ROUNDS + 1)][1:]  # the first one warms the caches
    columns = list(zip(*rounds, strict=True))
    ratios = [median(map(_ratio, column, columns[0])) for column in columns]
    names = (f'`python -c "{MEASURE}"`', "`pgstrata --help`", "completion of `pgstrata show -e`")
    print("| process | median | ratio | must reach |")
    print("|---|---:|---:|---:|")
    for name, times, ratio in zip(names, columns, ratios, strict=True):
        limit = f"<= {LIMIT}" if times is not columns[0] else ""
        print(f"| {name} | {median(times) * 1000:.0f} ms | {ratio:.2f} | {limit} |")
    return int(max(ratios) > LIMIT)


def _round(project: str) -> tuple[float, float, float]:
    return (
        _run([MEASURE]),
        _run([PGSTRATA, "--help"]),
        _run([PGSTRATA], {**COMPLETION, "PGSTRATA_PROJECT": project}),
    )


def _run(arguments: list[str], environ: Mapping[str, str] | None = None) -> float:
    """Return the seconds that a fresh interpreter takes."""
    source = Path(__file__).parents[1] / "src"
    began = perf_counter()
    subprocess.run(
        [sys.executable, "-c", *arguments],
        env={**os.environ, "PYTHONPATH": str(source), **(environ or {})},
        capture_output=True,
        check=True,
    )
    return perf_counter() - began


def _ratio(time: float, measure: float) -> float:
    return time / measure


if __name__ == "__main__":
    sys.exit(main())
