"""Runs all benchmarks and writes docs/benchmarks.md. ``make bench`` runs it.

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


def main() -> int:
    """Run every benchmark and write the page. Return 1 if one of them missed its goal."""
    missed = False
    system = f"{platform.system()} {platform.machine()}"
    parts = [HEAD.format(python=platform.python_version(), system=system, cores=os.cpu_count())]
    for name, title in SUBJECTS.items():
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        done = subprocess.run(
            command, cwd=HERE.parent, check=False, stdout=subprocess.PIPE, text=True
        )
        missed |= done.returncode != 0
        print(done.stdout, flush=True)
        parts.append(f"## {title}\n\n`python -m benchmarks.{name}`\n\n{done.stdout.strip()}\n")
    PAGE.write_text("\n".join(parts), encoding="utf-8")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
