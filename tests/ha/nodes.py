"""Programs of a cluster, each a process of its own that is ended by its id."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree, which
from tempfile import mkdtemp
from typing import Any

import pytest
from tests.servers import system_bindir

from pgstrata.local import account

STOPPING = 30.0  # seconds that a program may take to end by itself


def programs(*names: str) -> list[str]:
    """Return the paths of programs, and skip the test by the names of those that are missing."""
    found = {name: which(name) for name in names}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    return [path for path in found.values() if path is not None]


def bindir() -> Path:
    """Return the programs of the system's PostgreSQL, or skip the test."""
    found = system_bindir()
    if found is None:
        pytest.skip("no PostgreSQL is installed on this machine")
    return found


@contextmanager
def home() -> Iterator[Path]:
    """Give a directory of the account that servers run under."""
    folder = Path(mkdtemp(prefix="pgstrata-ha-")).resolve()
    if found := account.unprivileged_account():
        found.own(folder)
    try:
        yield folder
    finally:
        rmtree(folder, ignore_errors=True)  # a server that was killed may still be writing its last


def private(path: Path, text: str) -> Path:
    """Write a file that only the servers' account can read."""
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
    if found := account.unprivileged_account():
        found.own(path)
    return path


def launch(command: Sequence[str | Path], folder: Path, log: str) -> subprocess.Popen[bytes]:
    """Start a program of the servers' account; what it says goes to a file in ``folder``."""
    found = account.unprivileged_account()
    as_account: dict[str, Any] = {}
    if found:
        as_account = {"user": found.uid, "group": found.gid, "extra_groups": []}
    with (folder / log).open("ab") as said:
        process: subprocess.Popen[bytes] = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "HOME": str(folder)},
            **as_account,
        )
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    """End a program, by force where it does not by itself."""
    process.terminate()
    try:
        process.wait(STOPPING)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
