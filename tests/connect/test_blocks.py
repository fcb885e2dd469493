"""The pairing of a block's two halves, on a handle that only takes notes."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any

import pytest

from pgstrata.connect.blocks import Enter, Exit


class Block:
    """One block: entered, then left."""

    def __init__(self, number: int, log: list[tuple[str, int]]) -> None:
        self.number, self.log = number, log

    def __enter__(self) -> int:
        self.log.append(("enter", self.number))
        return self.number

    def __exit__(self, *exception: object) -> None:
        self.log.append(("exit", self.number))

    async def __aenter__(self) -> int:
        await asyncio.sleep(0)
        return self.__enter__()

    async def __aexit__(self, *exception: object) -> None:
        await asyncio.sleep(0)
        self.__exit__()


class Handle:
    """Numbers its blocks."""

    def __init__(self) -> None:
        self.count, self.log = 0, list[tuple[str, int]]()

    def connection(self) -> Block:
        """Return the next block."""
        self.count += 1
        return Block(self.count, self.log)

    __enter__: Any
    __exit__: Any
    __aenter__: Any
    __aexit__: Any
    __enter__, __exit__ = Enter("__enter__"), Exit("__exit__")
    __aenter__, __aexit__ = Enter("__aenter__"), Exit("__aexit__")


NESTED = [("enter", 1), ("enter", 2), ("exit", 2), ("exit", 1)]
NOTHING = (None, None, None)


def test_with() -> None:
    """Nested blocks end in reverse order."""
    handle = Handle()
    with handle, handle:
        pass
    assert handle.log == NESTED


def test_by_hand() -> None:
    """Called by hand, an exit ends the block that was begun last."""
    handle, other = Handle(), Handle()
    handle.__enter__()
    handle.__enter__()
    other.__enter__()
    with handle:
        pass
    handle.__exit__(*NOTHING)
    handle.__exit__(*NOTHING)
    assert handle.log == [*NESTED[:2], ("enter", 3), ("exit", 3), *NESTED[2:]]
    with pytest.raises(RuntimeError, match="no block of this handle was entered"):
        handle.__exit__(*NOTHING)
    other.__exit__(*NOTHING)


async def test_by_hand_in_tasks() -> None:
    """Tasks that take turns end their own blocks."""
    handle = Handle()

    async def work() -> tuple[int, int]:
        number: int = await handle.__aenter__()
        await asyncio.sleep(0)
        await handle.__aexit__(*NOTHING)
        return number, handle.log[-1][1]

    results = await asyncio.gather(*(work() for _ in range(10)))
    assert all(number == ended for number, ended in results)
    with contextlib.suppress(RuntimeError):
        await handle.__aexit__(*NOTHING)
    assert len(handle.log) == 20


HALVES = ("__enter__", "__exit__")


@pytest.mark.parametrize("half", HALVES)
def test_looked_at(half: str) -> None:
    """Who asks whether a handle has a half begins and ends no block, and is not taken for one."""
    handle = Handle()
    assert hasattr(handle, half)
    with handle:
        assert hasattr(handle, half)
        with handle:
            pass
    assert handle.log == NESTED
    assert hasattr(handle, half)
    handle.__enter__()
    handle.__exit__(*NOTHING)
    assert handle.log[4:] == [("enter", 3), ("exit", 3)]


@pytest.mark.parametrize("half", ["__aenter__", "__aexit__"])
async def test_looked_at_async(half: str) -> None:
    """The same, asynchronous."""
    handle = Handle()
    assert hasattr(handle, half)
    async with handle:
        assert hasattr(handle, half)
        async with handle:
            pass
    assert handle.log == NESTED


@pytest.mark.parametrize("looked_at", ["", *HALVES])
@pytest.mark.parametrize("exit_first", [False, True])
@pytest.mark.parametrize("by_class", [False, True])
def test_either_half_may_be_loaded_first(exit_first: Any, by_class: Any, looked_at: str) -> None:
    """Versions of Python differ in the order; contextlib loads from the class."""
    handle = Handle()
    holder: Any = Handle if by_class else handle
    arguments = (handle,) if by_class else ()

    def load() -> tuple[Any, Any]:
        assert not looked_at or hasattr(holder, looked_at)
        if exit_first:
            leave = holder.__exit__
            return holder.__enter__, leave
        enter = holder.__enter__
        return enter, holder.__exit__

    outer_enter, outer_exit = load()
    outer_enter(*arguments)
    inner_enter, inner_exit = load()
    inner_enter(*arguments)
    outer_exit(*arguments, *NOTHING)  # in another order than by hand: the pairs hold
    inner_exit(*arguments, *NOTHING)
    assert handle.log == [("enter", 1), ("enter", 2), ("exit", 1), ("exit", 2)]
    outer_enter(*arguments)
    outer_exit(*arguments, *NOTHING)
    assert handle.log[4:] == [("enter", 3), ("exit", 3)]


def test_loads_of_other_threads_do_not_mix() -> None:
    """The halves belong together by thread: another's loads in between change nothing."""
    handle = Handle()
    enter = handle.__enter__
    thread = threading.Thread(target=test_with)
    thread.start()
    thread.join()
    leave = handle.__exit__
    enter()
    with handle:
        leave(*NOTHING)
    assert handle.log == [("enter", 1), ("enter", 2), ("exit", 1), ("exit", 2)]


def test_failed_enter() -> None:
    """A block that could not be entered is not there to be left."""

    class Failing(Handle):
        def connection(self) -> Block:
            raise ZeroDivisionError

    handle = Failing()
    with pytest.raises(ZeroDivisionError):
        handle.__enter__()
    with pytest.raises(ZeroDivisionError), handle:
        raise AssertionError
    with pytest.raises(RuntimeError, match="no block"):
        handle.__exit__(*NOTHING)
