"""How often Python looks for garbage that refers to itself: of a command that ends soon, seldom.

Loading modules and files makes many objects and no such garbage. Only the command line does this. A
library must not decide it for the program that it is part of.
"""

from __future__ import annotations

import gc

_NEW_OBJECTS = 20_000  # between two searches; Python's own 700 cost a tenth of a command's time


def collect_seldom() -> None:
    """Let more new objects come together before Python looks through them."""
    gc.set_threshold(_NEW_OBJECTS, *gc.get_threshold()[1:])


def collect_no_more() -> None:
    """Keep the interpreter from looking through everything once more as it ends, which takes as
    long as a short command.
    """
    gc.freeze()
