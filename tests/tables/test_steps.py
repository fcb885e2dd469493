from __future__ import annotations

import asyncio
import signal
import sys
import threading
from types import FrameType
from typing import Any

import pytest

from pgstrata.tables.steps import Local, Steps, run, run_async


def test_ctrl_c_within_a_step_reaches_the_generator() -> None:
    """Its cleaning up is done in steps too."""
    done = []

    def interrupted() -> None:
        raise KeyboardInterrupt

    def steps() -> Steps[None]:
        try:
            yield Local(interrupted)
        except KeyboardInterrupt:
            yield Local(lambda: done.append("cleaned up"))
            raise

    with pytest.raises(KeyboardInterrupt):
        run(steps())
    assert done == ["cleaned up"]


def test_ctrl_c_between_two_steps_reaches_the_generator() -> None:
    """There it is raised in the loop, not in what the loop calls."""
    done = []

    def steps() -> Steps[None]:
        try:
            for _ in range(3):
                yield Local(lambda: None)
        except KeyboardInterrupt:
            yield Local(lambda: done.append("cleaned up"))
            raise

    def strike(frame: FrameType, event: str, _argument: Any) -> Any:
        if frame.f_code.co_name == "_sender" and event == "call":
            sys.settrace(None)
            signal.raise_signal(signal.SIGINT)
        return strike

    sys.settrace(strike)
    try:
        with pytest.raises(KeyboardInterrupt):
            run(steps())
    finally:
        sys.settrace(None)
    assert done == ["cleaned up"]


@pytest.mark.parametrize("times", [1, 2])
async def test_a_cancellation_waits_for_what_runs_in_a_thread(times: int) -> None:
    """Cleaning up meanwhile would close what the thread uses; also if it is cancelled again."""
    done: list[str] = []
    began, ends = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def slow() -> None:
        loop.call_soon_threadsafe(began.set)
        assert ends.wait(20)
        done.append("called")

    def steps() -> Steps[None]:
        try:
            yield Local(slow)
        finally:
            done.append("cleaned up")

    task = asyncio.create_task(run_async(steps()))
    await began.wait()
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
        assert not done
    ends.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == ["called", "cleaned up"]


async def test_a_call_in_a_thread_that_fails_as_it_is_cancelled() -> None:
    """What it says is not lost, and not reported as forgotten."""
    began, ends = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def failing() -> None:
        loop.call_soon_threadsafe(began.set)
        assert ends.wait(20)
        raise OSError("full")

    def steps() -> Steps[None]:
        yield Local(failing)

    task = asyncio.create_task(run_async(steps()))
    await began.wait()
    task.cancel()
    await asyncio.sleep(0)
    ends.set()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert isinstance(caught.value.__cause__, OSError)


def test_the_end_of_a_loop_waits_for_what_runs_in_a_thread() -> None:
    """It cancels every task, also those of which nobody knows."""
    done: list[str] = []
    ends = threading.Event()

    def steps() -> Steps[None]:
        try:
            yield Local(lambda: done.append(f"called {ends.wait(20)}"))
        finally:
            done.append("cleaned up")

    async def main() -> None:
        task = asyncio.create_task(run_async(steps()))
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.05, ends.set)  # when it has been cancelled
        assert not task.done()

    asyncio.run(main())
    assert done == ["called True", "cleaned up"]
