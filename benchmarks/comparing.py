"""How long it takes to compare many environments, as whole processes, and how much memory.

Each project has a base file and environments that extend one another in pairs, with two named
connections. It prints a markdown table, and ends with 1 where a limit is missed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

ROUNDS = 3
IDENTITY = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@example.com")
BASE = """\
connection_settings: {port: 5432, user: shop, dbname: shop, application_name: shop}
session_settings: {statement_timeout: %s, idle_in_transaction_session_timeout: 1min}
pool_settings: {min_size: 2, max_size: 10, max_lifetime: 1800}
connections:
  analytics: {connection_settings: {dbname: warehouse}}
  archive: {session_settings: {statement_timeout: 10min}}
expected_differences: [connection_settings.host]
"""
# The peak of the child is measured by itself: the parent's would count its own memory too.
PROGRAM = """\
import sys
from pgstrata.cli.group import run
code = run(sys.argv[1:])
try:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(peak // (1 if sys.platform == "linux" else 1024), file=sys.stderr)
except ImportError:
    print(0, file=sys.stderr)
sys.exit(code)
"""


@dataclass(frozen=True)
class Subject:
    """One command on a project of some environments, and its limits in seconds and MB."""

    environments: int
    command: tuple[str, ...]
    seconds: float | None = None
    megabytes: float | None = None


SUBJECTS = (
    Subject(100, ("diff", "--all"), 1.5, 150),
    Subject(100, ("diff", "--all", "--format", "html"), 1.5, 150),
    Subject(100, ("impact",), 3.0, 150),
    Subject(1000, ("diff", "--all", "--format", "json")),
    Subject(1000, ("impact",)),
)


def main() -> int:
    """Measure, print the table, and return the exit code."""
    print("| environments | command | median | peak memory | must reach |")
    print("|---:|---|---:|---:|---:|")
    missed = False
    for count in dict.fromkeys(subject.environments for subject in SUBJECTS):
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder), count)
            for subject in SUBJECTS:
                if subject.environments == count:
                    missed |= measured(Path(folder), subject)
    return int(missed)


def make(project: Path, count: int) -> None:
    """Write and commit a project, and change a value of its base file."""
    folder = project / "environments"
    folder.mkdir()
    (folder / "base.yaml").write_text(BASE % "30s")
    for number in range(count):
        parent = f"extends: env{number - 1:04}\n" if number % 2 else ""
        server = f"connection_settings: {{host: db{number}.example.com, password: p{number % 3}}}"
        pool = f"pool_settings: {{max_size: {10 + number % 5}}}"
        (folder / f"env{number:04}.yaml").write_text(f"{parent}{server}\n{pool}\n")
    for command in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message=x")):
        subprocess.run(["git", *IDENTITY, *command], cwd=project, check=True)
    (folder / "base.yaml").write_text(BASE % "40s")


def measured(project: Path, subject: Subject) -> bool:
    """Print a row. Return whether a limit is missed."""
    rounds = [run(project, subject) for _ in range(ROUNDS + 1)][1:]  # the first warms the caches
    seconds, megabytes = (median(column) for column in zip(*rounds, strict=True))
    limits = [
        f"<= {limit:g} {unit}"
        for limit, unit in ((subject.seconds, "s"), (subject.megabytes, "MB"))
        if limit is not None
    ]
    command = f"`pgstrata {' '.join(subject.command)}`"
    took, peak = f"{seconds:.2f} s", f"{megabytes:.0f} MB"
    print(f"| {subject.environments} | {command} | {took} | {peak} | {', '.join(limits)} |")
    return bool(
        (subject.seconds and seconds > subject.seconds)
        or (subject.megabytes and megabytes > subject.megabytes)
    )


def run(project: Path, subject: Subject) -> tuple[float, float]:
    """Return the seconds and the MB of memory that a fresh process takes."""
    source = Path(__file__).parents[1] / "src"
    began = perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "-C", str(project), *subject.command],
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        check=True,
        text=True,
    )
    return perf_counter() - began, int(done.stderr.split()[-1]) / 1024


if __name__ == "__main__":
    sys.exit(main())
