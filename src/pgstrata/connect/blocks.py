"""``with`` on a shared object, where each block has a connection of its own.

A handle is shared by threads and tasks, its blocks may nest, and a block may be entered in one
thread and left in another, as web frameworks do with generators. So ``__exit__`` must know which
block it ends, and is told only the exception. The language gives a way: a ``with`` statement loads
``__enter__`` and ``__exit__`` from the object, in this order and before it calls either. Both are
descriptors here, and loading the pair makes one block that both belong to.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol


class HasBlocks(Protocol):
    """A handle: ``connection()`` returns a new context manager for one block."""

    def connection(self) -> Any:
        """Return the block."""


class _Pending(threading.local):
    """Blocks whose enter was loaded in this thread, and whose exit not yet."""

    def __init__(self) -> None:
        self.blocks: list[tuple[object, Any]] = []
        self.unbound: list[tuple[str, _Unbound]] = []


_pending = _Pending()


class Enter:
    """Loads the entering half of a new block."""

    def __init__(self, method: str) -> None:
        self.method = method

    def __get__(self, handle: HasBlocks | None, owner: type) -> Callable[..., Any]:
        if handle is None:
            return _unbound("enter").bind(self.method)
        block = handle.connection()
        _pending.blocks.append((handle, block))
        return getattr(block, self.method)  # type: ignore[no-any-return]  # a method is callable


class Exit:
    """Loads the leaving half of the block that was begun last with this handle in this thread."""

    def __init__(self, method: str) -> None:
        self.method = method

    def __get__(self, handle: HasBlocks | None, owner: type) -> Callable[..., Any]:
        if handle is None:
            return _unbound("exit").bind_exit(self.method)
        blocks = _pending.blocks
        for index in range(len(blocks) - 1, -1, -1):
            if blocks[index][0] is handle:
                return getattr(blocks.pop(index)[1], self.method)  # type: ignore[no-any-return]  # as above
        raise RuntimeError(
            f"{self.method}: the handle was not entered in this thread; use `with`, or connection()"
        )


class _Unbound:
    """A block whose halves were loaded from the class and not from the handle, as contextlib's
    ExitStack does.
    """

    def __init__(self) -> None:
        self.block: Any = None

    def bind(self, method: str) -> Callable[..., Any]:
        def enter(handle: HasBlocks) -> Any:
            self.block = handle.connection()
            return getattr(self.block, method)()

        return enter

    def bind_exit(self, method: str) -> Callable[..., Any]:
        def leave(_handle: HasBlocks, *exception: object) -> Any:
            return getattr(self.block, method)(*exception)

        return leave


def _unbound(half: str) -> _Unbound:
    """Return the block that the other half was just loaded for, or a new one. Either half may come
    first.
    """
    waiting = _pending.unbound
    if waiting and waiting[-1][0] != half:
        return waiting.pop()[1]
    waiting[:] = [(half, _Unbound())]
    return waiting[-1][1]
