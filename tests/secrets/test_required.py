"""A suite that must have a keyring does not pass without one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("options", "outcome", "code"), [((), "1 skipped", 0), (("--require-keyring",), "1 error", 1)]
)
def test_a_missing_keyring_is_named(options: tuple[str, ...], outcome: str, code: int) -> None:
    """It is skipped with the reason, or fails where it is required, as in .ci/run."""
    test = "tests/secrets/test_keyring.py::test_a_locked_keyring_is_an_error"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test, *options]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PATH": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "not installed: dbus-run-session, gnome-keyring-daemon" in done.stdout
    assert outcome in done.stdout


def test_ci_requires_it() -> None:
    """And a server with TLS."""
    line = (ROOT / ".ci" / "run").read_text().splitlines()[-1]
    assert "--require-tls" in line
    assert "--require-keyring" in line
