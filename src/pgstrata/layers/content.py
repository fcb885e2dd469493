"""What a file holds, without waiting for ever at what is no regular one."""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path
from time import monotonic, sleep

PIPE_SECONDS = 2  # a writer that waits for a reader is there at once


def read_at_most(path: Path, most: int) -> bytes:
    """Return what a file holds, or ``most + 1`` bytes of a larger one. Raises ``OSError``.

    A pipe waits ``PIPE_SECONDS`` for somebody to write: a password may come by one, from a shell's
    ``<(…)`` or a program that serves secrets, but one that is left over would never end.
    """
    if sys.platform == "win32":
        with path.open("rb") as file:
            return file.read(most + 1)
    with open(path, "rb", opener=_at_once) as file:  # a Path takes no opener
        is_pipe = stat.S_ISFIFO(os.fstat(file.fileno()).st_mode)
        first = _first_written(file.fileno(), most + 1) if is_pipe else b""
        os.set_blocking(file.fileno(), True)
        return first + file.read(most + 1 - len(first))


def _at_once(path: str, flags: int) -> int:
    """Open a pipe without waiting for its other end."""
    return os.open(path, flags | os.O_NONBLOCK)


def _first_written(descriptor: int, most: int) -> bytes:
    """Return the first bytes from a pipe, or none where somebody is there who has yet to write.
    Raises ``OSError`` where nobody is.
    """
    deadline = monotonic() + PIPE_SECONDS
    while True:
        try:
            if written := os.read(descriptor, most):
                return written
        except BlockingIOError:  # somebody is there
            return b""
        if monotonic() > deadline:
            why = f"it is a pipe, and nobody wrote to it within {PIPE_SECONDS} s"
            raise TimeoutError(errno.ETIMEDOUT, why)
        sleep(0.02)
