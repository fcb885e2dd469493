"""How long loading takes, beside plain dynaconf on the same files.

Each pair runs in turns, so that a noisy machine slows both; the medians are shown.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from dynaconf import Dynaconf

from pgstrata import load, load_many

ROUNDS = 60
BASE = """\
connection_settings: {host: db, port: 5432, user: app, dbname: app, connect_timeout: 5}
session_settings: {statement_timeout: 30s, timezone: UTC}
pool_settings: {min_size: 2, max_size: 10, timeout: 30}
connections:
  analytics: {connection_settings: {dbname: warehouse}}
  reports: {connection_settings: {dbname: reports}, pool_settings: {max_size: 4}}
  audit: {connection_settings: {dbname: audit}}
"""
OVERLAY = """\
connection_settings: {host: db%d.example.com, sslmode: require, password: "${DB_PASSWORD}"}
connections:
  analytics: {connection_settings: {host: warehouse.example.com}}
"""
ENVIRON = {"HOME": "/nonexistent"}


def write(folder: Path, environments: int) -> list[str]:
    """Write a project of so many environments and return their names."""
    (folder / "environments").mkdir()
    (folder / "environments" / "base.yaml").write_text(BASE)
    names = [f"env{number}" for number in range(environments)]
    for number, name in enumerate(names):
        (folder / "environments" / f"{name}.yaml").write_text(OVERLAY % number)
    return names


def paired(calls: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Return the median seconds of each call; the calls take turns."""
    times: list[list[float]] = [[] for _ in calls]
    for call in calls:
        call()
    for _ in range(rounds):
        for call, taken in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in times]


def plain_dynaconf(folder: Path, name: str) -> object:
    """Load the same two files as dynaconf's users do."""
    files = [str(folder / "environments" / f"{stem}.yaml") for stem in ("base", name)]
    return Dynaconf(settings_files=files, merge_enabled=True).as_dict()


def load_all(folder: Path, names: list[str]) -> object:
    """Load all environments of a project."""
    return load_many(names, project=folder, environ=ENVIRON)


def main() -> None:
    """Print the table."""
    rows: list[tuple[str, str, str]] = []
    with tempfile.TemporaryDirectory() as one:
        folder = Path(one)
        (name,) = write(folder, 1)
        ours, theirs = paired(
            [
                lambda: load(name, project=folder, environ=ENVIRON),
                lambda: plain_dynaconf(folder, name),
            ],
            ROUNDS,
        )
        config = load(name, project=folder, environ=ENVIRON)
        reading = lambda: [config["connection_settings.host"] for _ in range(1000)]  # noqa: E731  # one line is all it is
        (read,) = paired([reading], ROUNDS)
    rows += [
        ("load one environment, 4 connections", f"{ours * 1e3:.1f} ms", "<= 10 ms"),
        ("the same files by plain dynaconf", f"{theirs * 1e3:.1f} ms", "slower than ours"),
        ("read a setting from a Config", f"{read * 1e6:.0f} ns", "<= 200 ns"),
    ]
    with tempfile.TemporaryDirectory() as few, tempfile.TemporaryDirectory() as many:
        folders = ((Path(few), 100), (Path(many), 1000))
        written = [(folder, write(folder, count)) for folder, count in folders]
        hundred, thousand = paired([partial(load_all, *one) for one in written], 5)
    rows += [
        ("load and validate 100 environments", f"{hundred:.2f} s", "<= 1.0 s"),
        ("load and validate 1000 environments", f"{thousand / hundred:.1f} x that", "about 10"),
    ]
    print("| what | median | goal |\n|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
