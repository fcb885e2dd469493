"""The account that PostgreSQL's programs run under, and running them.

PostgreSQL refuses to run as root: an unprivileged account of the machine takes its place.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgstrata.errors import LocalServerError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CANDIDATES = ("postgres", "nobody")

# The server outlives the command that started it, and its environment can be read for as long:
# a password in the caller's must not come along, nor a PG* variable that changes the server.
PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "TZ", "SYSTEMROOT", "COMSPEC", "APPDATA", "TEMP", "TMP")


@dataclass(frozen=True, slots=True)
class Account:
    """An account of a POSIX machine: its name and numeric ids."""

    name: str
    uid: int
    gid: int

    def own(self, path: Path) -> None:
        """Give the file or directory to this account."""
        if sys.platform != "win32":
            os.chown(path, self.uid, self.gid)


def is_root() -> bool:
    """Say whether this process is root, as which PostgreSQL refuses to run."""
    return sys.platform != "win32" and os.geteuid() == 0


def unprivileged_account(candidates: Sequence[str] = CANDIDATES) -> Account | None:
    """Return the first account that exists where this process is root, and None where it is not.

    Raises ``LocalServerError`` for root on a machine that has none of the candidates.
    """
    if sys.platform == "win32" or not is_root():
        return None
    import pwd

    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    for name in candidates:
        if name in known:
            return Account(name, known[name].pw_uid, known[name].pw_gid)
    raise LocalServerError(
        f"PostgreSQL does not run as root, and no account {' or '.join(candidates)} exists",
        hint="run as an ordinary user, or create the account postgres",
    )


def program(bindir: Path, name: str) -> Path:
    """Return the path of one of PostgreSQL's programs."""
    return bindir / (f"{name}.exe" if sys.platform == "win32" else name)


def run(
    command: Sequence[str | Path],
    account: Account | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    seconds: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Run a program of PostgreSQL as the account; ``stdout`` of the result holds all that it said.

    Raises ``OSError`` where the program cannot be executed, and ``LocalServerError`` where it
    takes more than ``seconds``.
    """
    with tempfile.TemporaryFile() as said:  # a server inherits its output: a pipe would never end
        try:
            done = subprocess.run(  # noqa: S603 # a list of arguments, no shell
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                env={key: environ[key] for key in PASSED_ON if key in environ} | {"LC_ALL": "C"},
                cwd=Path(command[0]).anchor,  # ours may be closed to the account
                check=False,
                timeout=seconds,
                **_process_options(account),
            )
        except subprocess.TimeoutExpired:
            raise LocalServerError(f"{command[0]} took more than {seconds:g} seconds") from None
        said.seek(0)
        output = said.read().decode(errors="replace").strip()
        return subprocess.CompletedProcess(done.args, done.returncode, output)


def _process_options(account: Account | None) -> dict[str, Any]:
    if sys.platform == "win32":
        # Ctrl-C in the console goes to every process of a group: the server must not be in ours.
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    if account is None:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}
