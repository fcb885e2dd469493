"""Answers that may be "it cannot be told, because": True, False, or the reason."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

Answer: TypeAlias = bool | str


def any_of(answers: Iterable[Answer]) -> Answer:
    """Return whether one is True; a doubt about one counts only where none is."""
    doubt: Answer = False
    for answer in answers:
        if answer is True:
            return True
        doubt = doubt or answer
    return doubt


def all_of(answers: Iterable[Answer]) -> Answer:
    """Return whether none is False; a doubt about one counts only where none is."""
    doubt: Answer = True
    for answer in answers:
        if answer is False:
            return False
        doubt = answer if doubt is True else doubt
    return doubt
