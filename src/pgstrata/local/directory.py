"""Where the embedded PostgreSQL of a project keeps its state, and the lock on it.

::

    lock          held by whoever starts or stops the server
    password      the superuser's, as a password file for libpq
    data/         PostgreSQL's own; exists only when initdb has finished
    data/server.log
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pgstrata.errors import ConfigError, LocalServerError, SecretError
from pgstrata.home import home
from pgstrata.local.account import Account, is_root

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LOCK_SECONDS = 120.0


def state_directory(project: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the directory of a project's server: one for each project, outside of it.

    It lies below ``$PGSTRATA_LOCAL_DIR``, or else where this system keeps the state of programs.
    """
    place = project.resolve()
    digest = hashlib.sha256(os.fsencode(os.path.normcase(place))).hexdigest()[:12]
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", place.name).strip("-.")[:40] or "project"
    # Resolved, because a running server is recognized by the path that it was started with.
    return state_root(environ).resolve() / f"{name}-{digest}"


def state_root(
    environ: Mapping[str, str], platform: str = sys.platform, *, root: bool | None = None
) -> Path:
    """Return the directory above those of all projects, e.g. ``~/.local/state/pgstrata``.

    On Linux it follows the XDG base directory specification. Root's is open to the account that
    the server runs under, which could not enter root's home. Raises ``ConfigError`` for an account
    without a home folder.
    """
    if chosen := environ.get("PGSTRATA_LOCAL_DIR"):
        return Path(chosen)
    if is_root() if root is None else root:
        return Path("/var/lib/pgstrata")
    if platform == "win32":
        given, below = environ.get("LOCALAPPDATA", ""), ("AppData", "Local")
    elif platform == "darwin":
        given, below = "", ("Library", "Application Support")
    else:
        given, below = environ.get("XDG_STATE_HOME", ""), (".local", "state")
        given = given if Path(given).is_absolute() else ""
    return (Path(given) if given else _home(environ).joinpath(*below)) / "pgstrata"


def _home(environ: Mapping[str, str]) -> Path:
    folder = home(environ)
    if folder is None:
        raise ConfigError(
            "the local server has no place: this account has no home folder",
            hint="set HOME, or PGSTRATA_LOCAL_DIR to a directory of yours",
        )
    return folder


def make_private(directory: Path, account: Account | None) -> None:
    """Create the state directory, closed to others; what exists already is left as it is.

    The account may pass through, but not look. Raises ``LocalServerError`` where the directory
    cannot be made, or belongs to another user, who could then read and change what is in it.
    """
    try:
        _make(directory.parent, 0o755 if account else 0o700)
        _make(directory, 0o711 if account else 0o700)
        owner = directory.stat().st_uid
    except OSError as error:
        raise _unusable(directory, str(error.strerror)) from None
    if sys.platform != "win32" and owner != os.geteuid():
        raise _unusable(directory, "it belongs to another user")


def _make(directory: Path, mode: int) -> None:
    if directory.is_dir():
        return
    _make(directory.parent, mode)
    try:
        directory.mkdir(mode)
    except FileExistsError:
        return
    directory.chmod(mode)  # mkdir's mode passes through the umask


def _unusable(directory: Path, why: str) -> LocalServerError:
    return LocalServerError(
        f"the local server's directory {directory} cannot be used: {why}",
        hint="set PGSTRATA_LOCAL_DIR to a directory of yours",
    )


@contextmanager
def locked(directory: Path, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Hold the lock of a state directory, against other processes and other threads.

    The operating system frees it when its holder ends, however it ends. Raises
    ``LocalServerError`` where somebody else holds it for more than ``seconds``.
    """
    try:
        file = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _unusable(directory, str(error.strerror)) from None
    try:
        deadline = time.monotonic() + seconds
        while not _try_lock(file):
            if time.monotonic() > deadline:
                raise LocalServerError(
                    f"another process is starting or stopping the local server, for {seconds:g} s",
                    hint=f"find out which one holds {directory / 'lock'}, and try again",
                )
            time.sleep(0.02)
        yield
    finally:
        os.close(file)


def _try_lock(file: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def write_private(path: Path, text: str) -> Path:
    """Write a new file that only its owner can read, in the place of any old one."""
    path.unlink(missing_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(file, "w", encoding="utf-8") as stream:  # noqa: PTH123 # a descriptor has no Path
        stream.write(text)
    return path


def new_password(directory: Path) -> str:
    """Make the superuser's password and write it where libpq will look for it."""
    password = secrets.token_urlsafe(24)  # nothing in it that a password file would escape
    write_private(directory / "password", f"*:*:*:*:{password}\n")
    return password


def read_password(directory: Path) -> str:
    """Return the superuser's password. Raises ``SecretError`` where it cannot be read."""
    path = directory / "password"
    try:
        return path.read_text(encoding="utf-8").strip().rpartition(":")[2]
    except OSError as error:
        raise SecretError(
            f"the local server's password cannot be read from {path}: {error.strerror}",
            hint=f"delete {directory}, with all its data, and start the server again",
        ) from None
