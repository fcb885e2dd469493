"""``with`` on a shared object, where each block has a connection of its own.

A handle is shared by threads and tasks, its blocks may nest, and a block may be entered in one
thread and left in another, as web frameworks do with generators. So ``__exit__`` must know which
block it ends, and is told only the exception. The language gives a way: a ``with`` statement loads
``__enter__`` and ``__exit__`` before it calls either, and nothing of this thread runs in between.
Both are descriptors here, and the two that are loaded together share one block. contextlib's
stacks load them from the class, and some versions of Python the exit first; both are fine.

Whoever calls ``__enter__`` and ``__exit__`` by hand ends the block that was begun last with this
handle in the same thread or task.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any


class _Pair:
    """An enter and an exit that were loaded together, and their block once it is entered."""

    __slots__ = ("block", "complete")

    def __init__(self) -> None:
        self.block: Any = None
        self.complete = False


class _LastLoad(threading.local):
    """What was loaded last in this thread: whose (by id), which half, for which pair."""

    load: tuple[int, str, _Pair] | None = None


_last = _LastLoad()
_begun_by_hand: ContextVar[tuple[tuple[object, Any], ...]] = ContextVar("begun", default=())


def _pair(holder: object, half: str) -> _Pair:
    """Return the pair of the load just before, if that was the holder's other half, or a new one.

    Entering ends a pair's time in ``_last``, so a pair that is in use is never given out again.
    """
    last = _last.load
    if last is not None and last[0] == id(holder) and last[1] != half:
        pair = last[2]
        pair.complete = True
    else:
        pair = _Pair()
    _last.load = (id(holder), half, pair)
    return pair


class Enter:
    """Loads the entering half of a block: ``__enter__`` or ``__aenter__``. ``begin`` is the method
    that returns a new block.
    """

    def __init__(self, method: str, *, begin: str = "connection") -> None:
        self.method = method
        self.begin = begin
        self.by_hand = _aenter_by_hand if method == "__aenter__" else _enter_by_hand

    def __get__(self, handle: object | None, owner: type) -> Callable[..., Any]:
        if handle is None:
            return partial(self._enter, _pair(owner, "enter"))
        return partial(self._enter, _pair(handle, "enter"), handle)

    def _enter(self, pair: _Pair, handle: object) -> Any:
        _last.load = None
        block = getattr(handle, self.begin)()
        if not pair.complete or pair.block is not None:
            return self.by_hand(handle, block)
        pair.block = block
        return getattr(block, self.method)()


class Exit:
    """Loads the leaving half of a block: ``__exit__`` or ``__aexit__``."""

    def __init__(self, method: str) -> None:
        self.method = method

    def __get__(self, handle: object | None, owner: type) -> Callable[..., Any]:
        if handle is None:
            return partial(self._exit, _pair(owner, "exit"))
        return partial(self._exit, _pair(handle, "exit"), handle)

    def _exit(self, pair: _Pair, handle: object, *exception: object) -> Any:
        block, pair.block = pair.block, None
        if block is None:
            block = _taken_back(handle)
        return getattr(block, self.method)(*exception)


def _enter_by_hand(handle: object, block: Any) -> Any:
    connection = block.__enter__()
    _begun_by_hand.set((*_begun_by_hand.get(), (handle, block)))
    return connection


async def _aenter_by_hand(handle: object, block: Any) -> Any:
    connection = await block.__aenter__()
    _begun_by_hand.set((*_begun_by_hand.get(), (handle, block)))
    return connection


def _taken_back(handle: object) -> Any:
    """Return the block that was begun last, by hand, with this handle here."""
    begun = _begun_by_hand.get()
    for index in range(len(begun) - 1, -1, -1):
        if begun[index][0] is handle:
            _begun_by_hand.set(begun[:index] + begun[index + 1 :])
            return begun[index][1]
    raise RuntimeError(
        "no block of this handle was entered in this thread or task; use `with`, or connection()"
    )
