"""Reading the files that hold private keys, and refusing those that others could read or change."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from pgstrata.errors import SecretError
from pgstrata.model import Secret
from pgstrata.secrets.sealed.files import lock, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MAX_BYTES = 64 * 1024


def read_own(path: Path) -> Secret:
    """Return the text of a user's key file.

    It must be a regular file, no symbolic link, of this user or root, and closed to all others.
    Windows keeps access apart from the mode, so only the kind of file is checked there.
    Raises ``SecretError``.
    """
    return _read(path, getattr(os, "O_NOFOLLOW", 0), _check_owner)


def read_mounted(path: Path) -> Secret:
    """Return the text of a key that the platform mounts for this process.

    Kubernetes mounts symbolic links to files of mode 0644, Docker files of 0444: only a file that
    everybody may write is refused. Raises ``SecretError``.
    """
    return _read(path, 0, _check_not_public)


def save(path: Path, text: Secret) -> None:
    """Write a key file that only this user can read, in folders that only this user can enter."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with lock(path):
        with suppress(FileNotFoundError):
            path.chmod(0o600)  # write keeps the mode of a file that is there
        write(path, text.reveal().encode("utf-8", "surrogatepass") + b"\n", mode=0o600)


def _read(path: Path, flags: int, check: Callable[[Path, os.stat_result], None]) -> Secret:
    """Open first and check what was opened: a name could be given to another file in between."""
    # O_NONBLOCK: opening a named pipe would wait for its writer forever
    flags |= os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        raise SecretError(
            f"the key file {path} cannot be read: {error.strerror}",
            hint="a key file is a plain file, not a symbolic link, that this user can read",
        ) from None
    try:
        _check_kind(path, os.fstat(descriptor))
        check(path, os.fstat(descriptor))
        text = os.read(descriptor, MAX_BYTES).decode("utf-8", "surrogateescape")
        return Secret(text, source=str(path))
    finally:
        os.close(descriptor)


def _check_kind(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
        raise SecretError(
            f"{path} is no key file",
            hint="a key file is a plain file of a few lines; a pipe or a folder is refused",
        )


def _check_owner(path: Path, status: os.stat_result) -> None:
    if sys.platform == "win32":
        return
    if status.st_uid not in (os.geteuid(), 0):
        raise SecretError(
            f"{path} belongs to another user, who can change it",
            hint=f"copy the key into a file of your own, or: sudo chown $(id -u) {path}",
        )
    if status.st_mode & 0o077:
        raise SecretError(
            f"{path} can be read or written by other users (mode {status.st_mode & 0o777:04o})",
            hint=f"chmod 600 {path}, and ask yourself who may have read it",
        )


def _check_not_public(path: Path, status: os.stat_result) -> None:
    if sys.platform != "win32" and status.st_mode & stat.S_IWOTH:
        raise SecretError(f"{path} can be written by everybody", hint=f"chmod o-w {path}")
