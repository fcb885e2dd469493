"""Secrets that are in use stand in memory: none of it may reach a core file, or a debugger.

Only the command line does this. A library must not decide it for the program that it is part of.
"""

from __future__ import annotations

import sys
from contextlib import suppress

_PR_SET_DUMPABLE = 4  # from linux/prctl.h


def keep_memory_private() -> None:
    """Write no core file, here and in children, and on Linux close ``/proc/<pid>/mem`` and
    ``environ`` to other processes of the same user.
    """
    if sys.platform == "win32":
        return
    import resource

    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        import ctypes

        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
