"""Which endpoint is compared with which."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pgstrata.audit.model import LookAtAll, Outcome
from pgstrata.audit.view import Fleet, View


def pairs(fleet: Fleet) -> Iterator[tuple[View, View]]:
    """Yield each endpoint with the model for its connection, which is an endpoint of the first
    protected environment, or else of the first one.

    Of the hosts of a connection the first that was seen stands for all.
    """
    by_name: dict[str, dict[str, View]] = {}
    for view in fleet:
        by_name.setdefault(view.client.name, {}).setdefault(view.client.environment, view)
    for views in by_name.values():
        model = next((v for v in views.values() if v.client.protected), next(iter(views.values())))
        yield from ((view, model) for view in views.values() if view is not model)


def against_model(compare: Callable[[View, View], Iterator[Outcome]]) -> LookAtAll:
    """Make a comparison of an endpoint with its model one of all endpoints."""

    def over(fleet: Fleet) -> Iterator[tuple[View, Iterator[Outcome]]]:
        yield from ((view, compare(view, model)) for view, model in pairs(fleet))

    return over


def named(view: View, value: object) -> str:
    """Return a value with the environment that has it."""
    return f"{value} in {view.client.environment}"
