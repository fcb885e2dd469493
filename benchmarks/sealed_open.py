"""Time to verify a sealed file of 100 entries and open them all: at most 50 ms.

Run: python benchmarks/sealed_open.py
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pgstrata.model import Secret
from pgstrata.secrets import sealed
from pgstrata.secrets.sealed import attest, edit, keytext, opened, parse
from pgstrata.secrets.sealed.access import Access
from pgstrata.secrets.sealed.document import Entry
from pgstrata.secrets.sealed.keys import EnvironmentKey, new_identity
from pgstrata.secrets.sealed.seal import open_value, seal_value

if TYPE_CHECKING:
    from collections.abc import Callable

ENTRIES = 100
RUNS = 20
LIMIT_MS = 50.0


def main() -> None:
    """Print one line for each step: the median and the slowest of the runs, in milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "environments" / "production.sealed.yaml"
        path.parent.mkdir()
        key = edit.create(path, "production", [("alice", new_identity("alice").public)])
        _fill(path, key)
        rows = {name: _measure(step) for name, step in _steps(path, key).items()}
    print(f"{'sealed file of 100 entries':<38}{'median ms':>10}{'max ms':>10}")
    for name, times in rows.items():
        print(f"{name:<38}{statistics.median(times):>10.2f}{max(times):>10.2f}")
    total = statistics.median(rows["read, verify, find key, open all"])
    print(f"limit {LIMIT_MS:g} ms: {'kept' if total <= LIMIT_MS else 'BROKEN'}")
    raise SystemExit(total > LIMIT_MS)


def _fill(path: Path, key: EnvironmentKey) -> None:
    names = sorted(f"connections.db{number:03}.password" for number in range(ENTRIES))
    boxes = [seal_value(key.public, "production", at, Secret("a password " * 3)) for at in names]
    entries = tuple(Entry(at, box, "2026-11-22") for at, box in zip(names, boxes, strict=True))
    document = replace(parse.read(path, "production"), entries=entries)
    edit.save(path, attest.sign(document, key))


def _steps(path: Path, key: EnvironmentKey) -> dict[str, Callable[[], object]]:
    project = path.parents[1]
    environ = {
        "HOME": str(project),
        "PGSTRATA_KEY_PRODUCTION": keytext.private_text(key).reveal(),
    }
    access = Access("production", project=project, environ=environ)
    one = "connections.db050.password"

    def everything() -> None:
        document = opened.open_trusted(path, access).document
        for entry in document.entries:
            open_value(document, entry, key)

    return {
        "list entries, no key": lambda: sealed.entries(path, "production"),
        "read and verify": lambda: attest.verify(parse.read(path, "production")),
        "read, verify, find key": lambda: opened.open_trusted(path, access),
        "read, verify, find key, open all": everything,
        "open one, file kept from before": lambda: sealed.open_entry(
            path, "production", one, project=project, environ=environ
        ),
    }


def _measure(step: Callable[[], object]) -> list[float]:
    step()
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        step()
        times.append((time.perf_counter() - started) * 1000)
    return times


if __name__ == "__main__":
    main()
