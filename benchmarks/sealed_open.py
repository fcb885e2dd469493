"""How long sealed secrets take, beside what may not be exceeded.

To verify a sealed file of 100 entries and open them all may take 50 ms. To load an environment and
reveal its sealed password may take 30 ms more than without one, in a process that is warm.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pgstrata import load
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
OPEN_LIMIT_MS = 50.0
LOAD_LIMIT_MS = 30.0
PASSWORD = "connection_settings.password"


def main() -> None:
    """Print one line for each step, in milliseconds. Exit with 1 where a limit is exceeded."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "environments" / "production.sealed.yaml"
        path.parent.mkdir()
        key = edit.create(path, "production", [("alice", new_identity("alice").public)])
        _fill(path, key)
        rows = {name: _measure(step) for name, step in _steps(path, key).items()}
        rows |= _in_turns(_loads(path, key))
    print("| step, of 100 entries where it is not said | median ms | slowest ms |")
    print("|---|--:|--:|")
    medians = {name: statistics.median(times) for name, times in rows.items()}
    for name, times in rows.items():
        print(f"| {name} | {medians[name]:.2f} | {max(times):.2f} |")
    opened = medians["read, verify, find key, open all"]
    more = medians["load and reveal it, file changed"] - medians["load, no sealed file"]
    print(f"\nOpening all takes {opened:.1f} ms; the limit is {OPEN_LIMIT_MS:g} ms.")
    print(f"A sealed password adds {more:.1f} ms to loading; the limit is {LOAD_LIMIT_MS:g} ms.")
    raise SystemExit(opened > OPEN_LIMIT_MS or more > LOAD_LIMIT_MS)


def _fill(path: Path, key: EnvironmentKey) -> None:
    names = [f"connections.db{number:03}.{PASSWORD}" for number in range(ENTRIES)]
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
    one = f"connections.db050.{PASSWORD}"

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


def _loads(path: Path, key: EnvironmentKey) -> dict[str, Callable[[], object]]:
    project = path.parents[1]
    environ = {
        "HOME": str(project),
        "PGSTRATA_KEY_PRODUCTION": keytext.private_text(key).reveal(),
    }
    (path.parent / "base.yaml").write_text("connection_settings: {host: db, dbname: a, user: a}\n")
    (path.parent / "production.yaml").write_text("")
    sealed_file = replace(parse.read(path, "production"), entries=())
    edit.save(path, attest.sign(sealed_file, key))
    access = Access("production", project=project, environ=environ)
    edit.set_entry(path, access, PASSWORD, Secret("a password"))

    def reveal(*, changed: bool) -> object:
        if changed:
            path.touch()  # so that nothing is kept from before
        value = load("production", project=project, environ=environ)[PASSWORD]
        assert isinstance(value, Secret)
        return value.reveal()

    without: dict[str, object] = {"secret_stores": []}
    return {
        "load, no sealed file": lambda: load(
            "production", project=project, environ=environ, overrides=without
        ),
        "load, one sealed password, not used": lambda: load(
            "production", project=project, environ=environ
        ),
        "load and reveal it": lambda: reveal(changed=False),
        "load and reveal it, file changed": lambda: reveal(changed=True),
    }


def _in_turns(steps: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Measure steps that are compared: a machine whose speed drifts must not decide."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(RUNS):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            times[name].append((time.perf_counter() - started) * 1000)
    return times


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
