from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgstrata.capacity import Demand, Service, declared, demand, demands, pool_sizes
from pgstrata.loading import load_mapping
from pgstrata.model import Config

PLACE = {"connection_settings": {"host": "a", "dbname": "shop", "user": "web"}}


def config(**sections: Any) -> Config:
    """Return an environment of these sections."""
    return load_mapping({**PLACE, **sections})


def test_the_formula_is_said_with_its_numbers() -> None:
    """A demand names service, role and database, and how its worst case comes about."""
    given = config(
        services=[{"name": "api", "processes": 2, "replicas": 3, "surge": 1, "types": ["pool"]}],
        pool_settings={"min_size": 2, "max_size": 10},
    )
    assert demands(given) == (
        Demand(
            service="api",
            connection="default",
            role="web",
            dbname="shop",
            most=80,
            floor=12,
            formula="(3 replicas + 1 surge) * 2 processes * (10 pool)",
            keys=("pool_settings.max_size",),
        ),
    )


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({}, (4, 4)),
        ({"max_size": 2}, (2, 2)),
        ({"max_size": 9}, (4, 9)),
        ({"min_size": 3}, (3, 3)),
        ({"min_size": 0, "max_size": 7}, (0, 7)),
    ],
)
@pytest.mark.parametrize(
    ("kind", "section"), [("pool", "pool_settings"), ("async_pool", "async_pool_settings")]
)
def test_sizes_of_a_pool(
    kind: str, section: str, sizes: dict[str, int], expected: tuple[int, int]
) -> None:
    """A default gives way to a size that is given."""
    assert pool_sizes(config(**{section: sizes}).connection(), kind) == expected


def test_a_type_without_a_pool_is_one_connection() -> None:
    """It is open only while it is used."""
    assert pool_sizes(config().connection(), "normal") == (0, 1)
    assert pool_sizes(config().connection(), "async") == (0, 1)


def test_a_service_that_cannot_be_read_is_told_and_not_counted() -> None:
    """The others are."""
    given = config(services=[{"name": "api"}, {"name": "b", "replica": 2}])
    assert [entry.problem for entry in declared(given)] == [
        "",
        "service 2: has no key 'replica'; did you mean 'replicas'?",
    ]
    assert [asked.service for asked in demands(given)] == ["api"]


@given(st.integers(1, 50), st.integers(0, 50), st.integers(0, 50))
def test_more_of_anything_is_never_less(processes: int, replicas: int, surge: int) -> None:
    """Connections grow with processes, replicas and surge; the floor knows no surge."""
    target = config().connection()
    types = ("normal", "pool")
    least = demand(Service("a", processes, replicas, surge, "default", types), target)
    most = demand(Service("a", processes + 1, replicas + 1, surge, "default", types), target)
    assert least.most == (replicas + surge) * processes * 5
    assert least.floor == replicas * processes * 4 <= least.most
    assert most.most > least.most
