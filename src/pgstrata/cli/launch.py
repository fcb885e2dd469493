"""Another program in place of this one, with private files that only live as long as it does.

On Linux the files are in memory and this process becomes the program: its signals and exit code
need no passing on, and nothing can stay behind, however it ends. Elsewhere the files are temporary
ones, and this process waits, passes signals on and removes the files.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from pgstrata.errors import UsageError
from pgstrata.model import Secret

_KILLED = 128  # what shells add to the number of the signal that ended a program


def launch(command: Sequence[str], environ: Mapping[str, str], files: Mapping[str, Secret]) -> int:
    """Run a program and return its exit code; on Linux this does not return.

    ``files`` are texts by the name of the variable that tells the program where they are.
    Raises ``UsageError`` where there is no such program.
    """
    in_memory = _in_memory(files)
    try:
        if in_memory is None:
            return supervise(command, environ, files)
        _become(command, {**environ, **in_memory})
    except FileNotFoundError:
        problem = "no such program"
    except PermissionError:
        problem = "not a program that may be run"
    except OSError as error:
        problem = str(error.strerror)
    raise UsageError(f"{command[0]}: {problem}")


def supervise(
    command: Sequence[str], environ: Mapping[str, str], files: Mapping[str, Secret]
) -> int:
    """Run a program, wait for it, and return its exit code: 128 and the signal's number for one
    that a signal ended. Raises ``OSError`` where it cannot be started.
    """
    # The directory is made with mode 0700, so nobody else reaches the files before they are closed.
    with tempfile.TemporaryDirectory(prefix="pgstrata-") as folder:
        paths = {name: _private_file(Path(folder) / name, text) for name, text in files.items()}
        # A handler, unlike SIG_IGN, is not inherited. From the terminal Ctrl-C reaches the program
        # anyway; it decides what that means, and this process only outlives it.
        signal.signal(signal.SIGINT, _nothing)
        early: list[int] = []
        for number in _passed_on():
            signal.signal(number, lambda number, _: early.append(number))
        with subprocess.Popen(command, env={**environ, **paths}) as program:  # noqa: S603  # what the user asked for
            for number in _passed_on():
                signal.signal(number, lambda number, _: program.send_signal(number))
            for sent in early:
                program.send_signal(sent)
            code = program.wait()
    return code if code >= 0 else _KILLED - code


def _nothing(_number: int, _frame: FrameType | None) -> None:
    pass


def _passed_on() -> list[signal.Signals]:
    names = ("SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


def _private_file(path: Path, text: Secret) -> str:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
        file.write(text.reveal())
    return str(path)


def _in_memory(files: Mapping[str, Secret]) -> dict[str, str] | None:
    """Return the paths of files that are only in memory, or None where the system has no such."""
    if sys.platform != "linux":
        return None
    descriptors: dict[str, int] = {}
    try:
        for name, text in files.items():
            descriptors[name] = os.memfd_create(name, 0)  # 0: the program inherits it
            # libpq refuses a password file that others may read.
            os.fchmod(descriptors[name], 0o600)
            os.write(descriptors[name], text.reveal().encode())
    except OSError:
        paths = None
    else:
        # The path names the process: what the program starts in turn may not inherit the
        # descriptor, but can still open it there.
        paths = {name: f"/proc/{os.getpid()}/fd/{fd}" for name, fd in descriptors.items()}
    if paths is None or not all(os.access(path, os.R_OK) for path in paths.values()):
        for descriptor in descriptors.values():
            os.close(descriptor)
        return None
    return paths


def _become(command: Sequence[str], environ: Mapping[str, str]) -> NoReturn:
    with suppress(ValueError, OSError):  # closed, or a pipe that nobody reads any more
        sys.stdout.flush()
    # Python ignores it, and an ignored signal stays ignored: `psql | head` would not end.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execvpe(command[0], list(command), environ)  # noqa: S606  # no shell is wanted
