"""Files that are either the old one or the new one, whole, and written by one process at a time."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pgstrata.errors import SecretError

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT = 10.0
_POLL = 0.02


def write(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace ``path`` by ``data`` in one step; an existing file keeps its permissions.

    ``mode`` is that of a new file, less the process's umask. A symbolic link stays one: its target
    is replaced. Raises ``SecretError`` with the system's reason.
    """
    path = Path(os.path.realpath(path))
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        _write_new(temporary, data, mode)
        with suppress(FileNotFoundError):
            temporary.chmod(path.stat().st_mode & 0o777)
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise SecretError(
            f"{path} cannot be written: {error.strerror}", hint="the old file is still there"
        ) from None


def _write_new(path: Path, data: bytes, mode: int) -> None:
    with suppress(FileNotFoundError):
        path.unlink()  # left by a process that was killed; its holder of the lock is gone
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if sys.platform == "win32":
        return  # a folder cannot be opened there; NTFS keeps a journal of names
    descriptor = os.open(folder, os.O_RDONLY)
    with suppress(OSError):  # some file systems cannot; the new file is in place all the same
        os.fsync(descriptor)
    os.close(descriptor)


@contextmanager
def lock(path: Path, *, wait: float = WAIT) -> Iterator[None]:
    """Hold the lock of ``path``, waiting at most ``wait`` seconds. Raises ``SecretError``.

    The system lets go of the lock when its process ends, so a killed one blocks nobody. Locks are
    per opening: two threads of one process keep each other out as well.
    """
    path = Path(os.path.realpath(path))
    name = path.with_name(f".{path.name}.lock")
    descriptor = _acquire(name, time.monotonic() + wait)
    if descriptor is None:
        raise SecretError(
            f"{path.name} is being changed by another process, for more than {wait:g} seconds",
            hint="wait for it to finish, then try again",
        )
    try:
        yield
    finally:
        _release(name, descriptor)


def _acquire(name: Path, deadline: float) -> int | None:
    while True:
        descriptor = _open(name)
        if _try_lock(descriptor) and _is_still(name, descriptor):
            return descriptor
        os.close(descriptor)
        if time.monotonic() >= deadline:
            return None
        time.sleep(_POLL)


def _open(name: Path) -> int:
    try:
        return os.open(name, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise SecretError(
            f"{name} cannot be made: {error.strerror}",
            hint="the folder of a sealed file must be writable to change it",
        ) from None


def _is_still(name: Path, descriptor: int) -> bool:
    """Tell whether the locked file still has its name: its last holder may have removed it."""
    with suppress(FileNotFoundError):
        return os.path.samestat(name.stat(), os.fstat(descriptor))
    return False


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        with suppress(OSError):
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            return True
        return False

    def _release(name: Path, descriptor: int) -> None:
        os.close(descriptor)  # an open file cannot be removed there
        with suppress(OSError):
            name.unlink()

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    def _release(name: Path, descriptor: int) -> None:
        name.unlink(missing_ok=True)  # while it is locked: nobody else's file can be removed
        os.close(descriptor)
