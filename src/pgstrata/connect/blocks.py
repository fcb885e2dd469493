"""``with`` on a shared object, where each block has a connection of its own.

A handle is shared by threads and tasks, its blocks may nest, and a block may be entered in one
thread and left in another, as web frameworks do with generators. So ``__exit__`` must know which
block it ends, and is told only the exception. The language gives a way: a ``with`` statement loads
``__enter__`` and ``__exit__`` before it calls either, and nothing of this thread runs in between.
Both are descriptors here, and the two that are loaded together share one block. contextlib's
stacks load them from the class, and some versions of Python the exit first; both are fine. A half
that is loaded and dropped, as ``hasattr`` does, belongs to no block.

Whoever calls ``__enter__`` and ``__exit__`` by hand ends the block that was begun last with this
handle in the same thread or task.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeAlias
from weakref import ref

ENTERED = "this block is already entered"

# An enter and an exit that were loaded together: their block once it is entered, and whether both
# were loaded. A list, as it is made for each block, and an object takes ten times as long.
_Pair: TypeAlias = "list[Any]"
_BLOCK, _COMPLETE = 0, 1


class _LastLoad(threading.local):
    """What was loaded last in this thread: whose (by id), which half, and the load itself, as long
    as somebody has it.
    """

    load: tuple[int, str, ref[partial[Any]]] | None = None


_last = _LastLoad()
_begun_by_hand: ContextVar[tuple[tuple[object, Any], ...]] = ContextVar("begun", default=())


def _load(call: Callable[..., Any], half: str, handle: object | None, owner: type) -> partial[Any]:
    """Return a half with the pair of the load just before, if that was the other half of the same
    holder, or with a new one.

    A pair that is complete, or in use, is in ``_last`` no longer, so it is never given out again.
    """
    holder = owner if handle is None else handle
    last = _last.load
    if last is not None and last[0] == id(holder) and last[1] != half and (other := last[2]()):
        pair: _Pair = other.args[0]
        pair[_COMPLETE] = True
        _last.load = None
        return partial(call, pair) if handle is None else partial(call, pair, handle)
    pair = [None, False]
    load = partial(call, pair) if handle is None else partial(call, pair, handle)
    _last.load = id(holder), half, ref(load)
    return load


class Enter:
    """Loads the entering half of a block: ``__enter__`` or ``__aenter__``. ``begin`` is the method
    that returns a new block.
    """

    def __init__(self, method: str, *, begin: str = "connection") -> None:
        enter = _aenter if method == "__aenter__" else _enter
        self.enter = enter if begin == "connection" else _beginning(enter, begin)

    def __get__(self, handle: object | None, owner: type) -> Callable[..., Any]:
        return _load(self.enter, "enter", handle, owner)


class Exit:
    """Loads the leaving half of a block: ``__exit__`` or ``__aexit__``."""

    def __init__(self, method: str) -> None:
        self.leave = _aexit if method == "__aexit__" else _exit

    def __get__(self, handle: object | None, owner: type) -> Callable[..., Any]:
        return _load(self.leave, "exit", handle, owner)


# Each is there twice, as looking up a method by its name would cost as much as all the rest.


def _enter(pair: _Pair, handle: Any, block: Any = None) -> Any:
    block = block or handle.connection()
    if not pair[_COMPLETE] or pair[_BLOCK] is not None:
        return _enter_by_hand(handle, block)
    pair[_BLOCK] = block
    return block.__enter__()


def _aenter(pair: _Pair, handle: Any, block: Any = None) -> Any:
    block = block or handle.connection()
    if not pair[_COMPLETE] or pair[_BLOCK] is not None:
        return _aenter_by_hand(handle, block)
    pair[_BLOCK] = block
    return block.__aenter__()


def _beginning(enter: Callable[..., Any], begin: str) -> Callable[..., Any]:
    """Return ``enter`` for handles whose blocks come from another method than ``connection``."""
    return lambda pair, handle: enter(pair, handle, getattr(handle, begin)())


def _exit(pair: _Pair, handle: object, kind: Any, error: Any, trace: Any) -> Any:
    block, pair[_BLOCK] = pair[_BLOCK], None
    return (block or _taken_back(handle)).__exit__(kind, error, trace)


def _aexit(pair: _Pair, handle: object, kind: Any, error: Any, trace: Any) -> Any:
    block, pair[_BLOCK] = pair[_BLOCK], None
    return (block or _taken_back(handle)).__aexit__(kind, error, trace)


def _enter_by_hand(handle: object, block: Any) -> Any:
    _last.load = None
    connection = block.__enter__()
    _begun_by_hand.set((*_begun_by_hand.get(), (handle, block)))
    return connection


async def _aenter_by_hand(handle: object, block: Any) -> Any:
    _last.load = None
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
