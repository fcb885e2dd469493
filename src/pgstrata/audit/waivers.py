"""Findings that a project accepts for a time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from fnmatch import fnmatchcase

from pgstrata.audit.model import FINDING, Check, Outcome, Result, Status
from pgstrata.model import Origin

CHECKS = (
    Check(
        "waiver.expired",
        "fail",
        "A waiver's last day has passed.",
        "What it accepted for a time is still there, or the waiver is not needed any more.",
        fix="Mend what it waived and remove it, or decide again and give it a new date.",
        cannot_see="Whether anybody has looked at it since.",
    ),
    Check(
        "waiver.unused",
        "warn",
        "A waiver matches no finding. Looked for where all that it names was audited.",
        "It would hide the next finding of its check, at which nobody has looked.",
        fix="Remove it.",
        cannot_see="What a part of the environments alone was audited for.",
    ),
)


@dataclass(frozen=True, slots=True)
class Waiver:
    """One entry of the file. ``expires`` is the last day on which it holds."""

    id: str
    reason: str
    owner: str
    expires: date
    origin: Origin
    environment: str = "*"
    object: str = "*"
    ticket: str = ""

    def matches(self, result: Result) -> bool:
        """Tell whether it is about a result."""
        pairs = (
            (result.check, self.id),
            (result.environment, self.environment),
            (result.outcome.object, self.object),
        )
        return all(fnmatchcase(value, pattern) for value, pattern in pairs)

    @property
    def said(self) -> str:
        """Why, by whom and how long, in one line."""
        ticket = f", {self.ticket}" if self.ticket else ""
        return f"{self.reason} ({self.owner}{ticket}; until {self.expires})"


def apply(
    results: Sequence[Result], waivers: Iterable[Waiver], audited: Collection[str], today: date
) -> tuple[Result, ...]:
    """Return the results with the waived ones marked, and those about the waivers themselves.

    ``audited`` are the environments of which everything was looked at.
    """
    waivers = tuple(waivers)
    holding = [waiver for waiver in waivers if waiver.expires >= today]
    marked = tuple(_marked(result, holding) for result in results)
    seen = {result.environment for result in results}
    own = [_expired(waiver) for waiver in waivers if waiver not in holding]
    for waiver in holding:
        named = {name for name in seen if fnmatchcase(name, waiver.environment)}
        used = any(one.outcome.status != "ok" and waiver.matches(one) for one in results)
        if named and named <= set(audited) and not used:
            own.append(_unused(waiver))
    return (*marked, *own)


def _marked(result: Result, waivers: Iterable[Waiver]) -> Result:
    if result.outcome.status not in FINDING:  # what nobody could look at, nobody has accepted
        return result
    said = next((waiver.said for waiver in waivers if waiver.matches(result)), "")
    return replace(result, waived=said)


def _expired(waiver: Waiver) -> Result:
    message = f"the waiver of {waiver.id} expired on {waiver.expires}: {waiver.said}"
    return _own("waiver.expired", waiver, "fail", message)


def _unused(waiver: Waiver) -> Result:
    message = f"there is nothing to waive for {waiver.id}"
    return _own("waiver.unused", waiver, "warn", message)


def _own(check: str, waiver: Waiver, status: Status, message: str) -> Result:
    outcome = Outcome(status, message, object=waiver.id, evidence=(str(waiver.origin),))
    return Result(check, waiver.environment, "", "", outcome, waiver.origin)
