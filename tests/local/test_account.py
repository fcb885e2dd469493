from __future__ import annotations

import sys

import pytest

from pgstrata.errors import LocalServerError
from pgstrata.local.account import is_root, run, unprivileged_account


def test_secrets_in_the_environment_stay_here() -> None:
    """A program of PostgreSQL gets the variables it needs and no others."""
    environ = {"PATH": "/usr/bin", "PGPASSWORD": "hunter2", "PGSTRATA_X": "hunter2"}
    said = run([sys.executable, "-c", "import os; print(sorted(os.environ))"], environ=environ)
    assert "PATH" in said.stdout
    assert "PG" not in said.stdout


def test_run_gives_exit_code_and_both_outputs() -> None:
    """What a program says on either stream is there to be shown."""
    script = "import sys; print('out'); sys.stdout.flush(); sys.exit('err')"
    done = run([sys.executable, "-c", script])
    assert (done.returncode, done.stdout.split()) == (1, ["out", "err"])


def test_run_is_bounded() -> None:
    """A program that hangs is ended, with a message that names it."""
    with pytest.raises(LocalServerError, match=r"took more than 0\.2 seconds"):
        run([sys.executable, "-c", "input = __import__('time').sleep(60)"], seconds=0.2)


def test_account_is_for_root_only() -> None:
    """Root gets another account, anybody else keeps their own."""
    account = unprivileged_account()
    assert (account is not None) == is_root()
    assert account is None or account.uid != 0


@pytest.mark.skipif(not is_root(), reason="only root needs another account")
def test_no_account_to_be_had() -> None:
    """Root without any unprivileged account is told what is missing."""
    with pytest.raises(LocalServerError, match="no account nosuch1 or nosuch2") as caught:
        unprivileged_account(["nosuch1", "nosuch2"])
    assert "ordinary user" in caught.value.hint
