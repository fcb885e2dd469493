from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Any

import pytest

from pgstrata.tables.steps import Local, Steps, run


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
