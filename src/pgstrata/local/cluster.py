"""PostgreSQL's own programs at work on one data directory: initdb and pg_ctl."""

from __future__ import annotations

import shutil
import socket
import tempfile
import time
from pathlib import Path

from pgstrata.errors import LocalServerError
from pgstrata.local.account import Account, program, run
from pgstrata.local.directory import new_password, write_private
from pgstrata.local.installation import full_version

HOST = "127.0.0.1"
USER = "postgres"
WAIT_SECONDS = 60
PAUSES = (0.0, 0.1, 0.3, 1.0)  # seconds before each attempt
TRANSIENT = (
    "could not bind",  # somebody else took the free port
    "still in use",  # the children of a server that was killed have not noticed yet
)


def make_cluster(programs: Path, directory: Path, account: Account | None) -> None:
    """Make ``data`` and ``password`` in the state directory.

    ``data`` gets its name when initdb has finished, so half a cluster is never taken for one.
    Raises ``LocalServerError`` with initdb's own words.
    """
    for unfinished in directory.glob("new-*"):
        shutil.rmtree(unfinished, ignore_errors=True)
    new = Path(tempfile.mkdtemp(prefix="new-", dir=directory))
    password_file = write_private(directory / "initdb-password", new_password(directory))
    for path in (new, password_file):
        if account:
            account.own(path)
    try:
        _run(
            account,
            *(program(programs, "initdb"), "-D", new, "-U", USER, "-A", "scram-sha-256"),
            *("--pwfile", password_file, "--no-sync", "--no-instructions", "--encoding=UTF8"),
            *_locale(programs),
            *("--set", f"listen_addresses={HOST}", "--set", "unix_socket_directories="),
        )
    finally:
        password_file.unlink()
    new.rename(directory / "data")


def _locale(programs: Path) -> tuple[str, ...]:
    """Return the same locale for every machine; since 17 it can also tell ``Ä`` from ``ä``."""
    if int(full_version(programs).split(".")[0]) < 17:  # noqa: PLR2004 # the docstring says it
        return ("--locale=C",)
    return ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")


def launch(programs: Path, data: Path, account: Account | None) -> None:
    """Start the server and wait until it accepts connections; nothing may be running on ``data``.

    Raises ``LocalServerError`` with the end of the server's log.
    """
    # A crash leaves the file behind, and PostgreSQL would take whatever has that pid by now for
    # itself. Its second guard, the shared memory, holds even if the file were not stale.
    (data / "postmaster.pid").unlink(missing_ok=True)
    failure, log = "", data / "server.log"
    if log.exists():
        log.replace(data / "server.old.log")  # the story of a crash stays readable
    for pause in PAUSES:
        time.sleep(pause)
        failure = _start(programs, data, log, account)
        if not any(words in failure for words in TRANSIENT):
            break
    if failure:
        raise LocalServerError(f"PostgreSQL does not start: {failure}", hint=f"its log is {log}")


def _start(programs: Path, data: Path, log: Path, account: Account | None) -> str:
    """Return why it did not start, or nothing."""
    try:
        _pg_ctl(programs, data, account, "start", "-l", log, "-o", f"-p {free_port()}")
    except LocalServerError as error:
        return _tail(log) or str(error)
    return ""


def shut_down(programs: Path, data: Path, account: Account | None) -> None:
    """Stop the server and wait for its end. Raises ``LocalServerError`` where it does not end."""
    _pg_ctl(programs, data, account, "stop", "-m", "fast")


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _pg_ctl(
    programs: Path, data: Path, account: Account | None, action: str, *options: str | Path
) -> None:
    wait = ("-w", "-t", str(WAIT_SECONDS))
    _run(account, program(programs, "pg_ctl"), action, *wait, "-D", data, *options)


def _run(account: Account | None, *command: str | Path) -> None:
    try:
        done = run(command, account)
    except OSError as error:
        raise LocalServerError(f"{command[0]} cannot be executed: {error.strerror}") from None
    if done.returncode:
        raise LocalServerError(f"{Path(command[0]).name} failed: {_last_lines(done.stdout)}")


def _tail(log: Path) -> str:
    try:
        return _last_lines(log.read_text(errors="replace"))
    except OSError:
        return ""


def _last_lines(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-10:])
