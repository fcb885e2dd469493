"""A view that is refreshed in place, for as long as somebody looks at it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import click

Wait: TypeAlias = Callable[[float], str]  # for so many seconds at most; returns the key, or nothing


def show(view: Callable[[], str], seconds: float) -> None:
    """Show what ``view`` returns, anew every so many seconds, until q is pressed.

    On a terminal that is done in place; otherwise one view follows the other. However it ends, the
    terminal is as it was before.
    """
    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        while True:
            click.echo(view() + "\n")
            time.sleep(seconds)
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    with _ended_by_sigterm(), _keys() as wait:
        first = view()  # a failure is told where it can be read
        with Live(
            Text(first), console=Console(highlight=False), screen=True, auto_refresh=False
        ) as live:
            while wait(seconds) not in ("q", "Q"):
                live.update(Text(view(), no_wrap=True, overflow="crop"), refresh=True)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Take a request to end for Ctrl-C: the terminal is put right on the way out."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _keys() -> Iterator[Wait]:
    """Yield what waits for a key, which is not shown."""
    if not sys.stdin.isatty():
        yield _no_key
    elif sys.platform == "win32":
        yield _windows_key
    else:
        import termios
        import tty

        terminal = sys.stdin.fileno()
        before = termios.tcgetattr(terminal)
        try:
            tty.setcbreak(terminal)
            yield _posix_key
        finally:
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _no_key(seconds: float) -> str:
    time.sleep(seconds)
    return ""


def _posix_key(seconds: float) -> str:
    import select

    terminal = sys.stdin.fileno()
    ready, _, _ = select.select([terminal], [], [], seconds)
    return os.read(terminal, 1).decode("latin-1") if ready else ""


def _windows_key(seconds: float) -> str:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if sys.platform == "win32":
            import msvcrt

            if msvcrt.kbhit():
                return msvcrt.getwch()
        time.sleep(0.05)
    return ""
