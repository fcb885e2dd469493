"""What the checks say of what was seen. It needs no server: saved snapshots are judged the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

from pgstrata.audit.checks import CHECKS
from pgstrata.audit.model import Check, Gap, Outcome, Result, UnreadError
from pgstrata.audit.view import Fleet, View, fleet
from pgstrata.model import Origin
from pgstrata.secrets.redact import redact_text

Said = TypeVar("Said")


def judge(views: Iterable[View], checks: Iterable[Check] = CHECKS) -> tuple[Result, ...]:
    """Return what each check says of each endpoint, endpoint by endpoint.

    What nobody could look at is ``unknown`` and says why, and of an endpoint that could not be
    reached nothing is ``ok``.
    """
    endpoints = fleet(views)
    found = [result for check in checks for result in _judged(check, endpoints)]
    order = {_place(view): number for number, view in enumerate(endpoints.views)}
    return tuple(sorted(found, key=lambda r: order[r.environment, r.connection, r.server]))


def _judged(check: Check, endpoints: Fleet) -> Iterator[Result]:
    if check.find is not None:
        for view in endpoints.views:
            yield from _looked(check, view)
    if check.compare is not None:
        yield from _compared(check, endpoints)


def _looked(check: Check, view: View) -> Iterator[Result]:
    find = check.find
    assert find is not None
    said, problem = _taken(lambda: find(view))
    if view.snapshot.error:  # a probe or the configuration alone can prove a fault, not its absence
        said = [outcome for outcome in said if outcome.status in ("fail", "warn", "info")]
        problem = None if said else UnreadError(Gap(view.snapshot.error))
    yield from _said(check, view, said, problem)


def _compared(check: Check, endpoints: Fleet) -> Iterator[Result]:
    compare = check.compare
    assert compare is not None
    looks, broken = _taken(lambda: compare(endpoints))
    for view, look in looks:
        yield from _said(check, view, *_taken(look.__iter__))
    for view in endpoints.views:
        if view.snapshot.error:
            yield _unknown(check, view, UnreadError(Gap(view.snapshot.error)))
        elif broken is not None:
            yield _unknown(check, view, broken)


def _said(
    check: Check, view: View, outcomes: Iterable[Outcome], problem: UnreadError | None
) -> Iterator[Result]:
    for outcome in outcomes:
        yield _result(check, view, outcome)
    if problem is not None:
        yield _unknown(check, view, problem)


def _taken(find: Callable[[], Iterable[Said]]) -> tuple[list[Said], UnreadError | None]:
    """Return what a check said, and what it could not read after that.

    A check that fails by itself is one more that did not look: it must not take the others along.
    """
    said: list[Said] = []
    try:
        said.extend(find())
    except UnreadError as error:
        return said, error
    except Exception as error:  # noqa: BLE001  # as said above
        why = f"internal error of the check: {type(error).__name__}: {error}"
        return said, UnreadError(Gap(redact_text(why)))
    return said, None


def _unknown(check: Check, view: View, problem: UnreadError) -> Result:
    gap = problem.gap
    message = f"{gap.why}; {problem.inferred}" if problem.inferred else gap.why
    return replace(_result(check, view, Outcome("unknown", message)), gap=gap)


def _result(check: Check, view: View, outcome: Outcome) -> Result:
    place = _place(view)
    return Result(check.id, *place, outcome, _origin(view, outcome.key))


def _place(view: View) -> tuple[str, str, str]:
    return view.client.environment, view.client.name, view.snapshot.endpoint


def _origin(view: View, key: str) -> Origin:
    """Return the place of the setting that an expectation comes from, or the environment's own
    file.
    """
    general = view.client.config.settings.get(key)
    if key not in view.client.settings and general is not None and general.origin.line:
        return general.origin
    return view.client.place(key) if key else view.client.home
