"""Runs all benchmarks, or those named, and writes docs/benchmarks.md. ``make bench`` runs it.

Each benchmark is a script of its own that prints a table in Markdown: paired runs, medians, ratios.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
SUBJECTS = {
    "starting": "Starting the command line",
    "loading": "Loading environments",
    "comparing": "Comparing environments",
    "borrowing": "Borrowing connections",
    "checking": "Checking environments",
    "auditing": "Auditing servers",
    "sealed_open": "Opening sealed secrets",
    "faults": "Faults",
    "tables": "Moving tables",
}
HEAD = """\
# Benchmarks

<!-- made by `make bench` -->

Medians of paired runs: what is compared takes turns within one run, so that a machine whose speed
drifts does not decide. Ratios carry over to other machines, absolute times do not.

Measured with Python {python} on {system}, {cores} cores.
"""


def main(names: list[str]) -> int:
    """Run the benchmarks, or those that are named, and write their parts of the page. Return 1 if
    one of them missed its goal.
    """
    missed, parts = False, _parts()
    for name in names or SUBJECTS:
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        done = subprocess.run(
            command, cwd=HERE.parent, check=False, stdout=subprocess.PIPE, text=True
        )
        missed |= done.returncode != 0
        print(done.stdout, flush=True)
        parts[SUBJECTS[name]] = f"\n`python -m benchmarks.{name}`\n\n{done.stdout.strip()}\n"
    system = f"{platform.system()} {platform.machine()}"
    head = HEAD.format(python=platform.python_version(), system=system, cores=os.cpu_count())
    bodies = [f"## {title}\n{parts[title]}" for title in SUBJECTS.values() if title in parts]
    PAGE.write_text("\n".join([head, *bodies]), encoding="utf-8")
    return int(missed)


def _parts() -> dict[str, str]:
    """Return what the page says now, by title."""
    parts = PAGE.read_text(encoding="utf-8").split("\n## ")[1:] if PAGE.exists() else []
    return {title: body for title, _, body in (part.partition("\n") for part in parts)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
