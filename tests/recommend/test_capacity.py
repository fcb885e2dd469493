from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.recommend.conftest import Recommended, lines, missing, notes

from pgstrata.capacity import Demand
from pgstrata.recommend.capacity import _limits

POOL = {"min_size": 2, "max_size": 10}


def test_all_services_of_a_server_are_added_up(recommended: Recommended) -> None:
    """Pools, processes, replicas and surge, with a tenth to spare for each role."""
    found = recommended(
        connection_type="pool",
        pool_settings=POOL,
        connections={"reports": {"connection_settings": {"user": "reports"}}},
        services=[
            {"name": "web", "processes": 4, "replicas": 3, "surge": 1},
            {"name": "cron", "types": ["normal"]},
            {"name": "reports", "connection": "reports", "replicas": 2},
        ],
    )
    most, *_ = [item for item in found.servers[0].advice if "max_connections" in item.line]
    # web 4 * 4 * 10 + cron 1 = 161 as app, 2 * 10 = 20 as reports: 178 and 22.
    assert most.line == "max_connections = 203"
    assert most.formula == (
        "app: web (3 replicas + 1 surge) * 4 processes * (10 pool) + cron (1 replica + 0 surge)"
        " * 1 process * (1 normal) = 161, and a tenth to spare = 178;"
        " reports: reports (2 replicas + 0 surge) * 1 process * (10 pool) = 20, and a tenth to"
        " spare = 22; max(100, 178 + 22 + 3 reserved) = 203"
    )
    assert [str(origin).rpartition("/")[2].split(":")[0] for origin in most.origins] == [
        "base.yaml",
        "base.yaml",
    ]
    assert "ALTER ROLE app CONNECTION LIMIT 178;" in lines(found, "sql")
    assert "ALTER ROLE reports CONNECTION LIMIT 22;" in lines(found, "sql")
    assert "superuser_reserved_connections = 3" in lines(found, "conf")


def test_declared_connections_of_others_come_on_top(recommended: Recommended) -> None:
    """Without a tenth to spare: they are counted, not estimated."""
    server = {"other_connections": 20}
    found = recommended(services=[{"name": "web", "processes": 100}], server=server)
    (most, *_) = [item for item in found.servers[0].advice if "max_connections" in item.line]
    assert most.line == "max_connections = 133"
    assert most.formula.endswith("max(100, 110 + 20 others + 3 reserved) = 133")
    assert len(most.origins) == 2


def test_less_than_the_default_is_not_recommended(recommended: Recommended) -> None:
    """Other programs connect too."""
    found = recommended(services=[{"name": "web"}])
    assert "max_connections = 100" in lines(found)


def test_services_are_asked_for_and_not_guessed(recommended: Recommended) -> None:
    """Without any, neither slots nor limits are recommended."""
    found = recommended()
    assert "services" in missing(found)
    assert not [line for line in lines(found) if "max_connections" in line or "LIMIT" in line]


def test_a_connection_that_no_service_uses_is_told(recommended: Recommended) -> None:
    """What goes through it is not in the sum."""
    found = recommended(
        connections={"reports": {"connection_settings": {"dbname": "reports"}}},
        services=[{"name": "web"}],
    )
    (asked,) = [item for item in found.servers[0].missing if item.key == "services"]
    assert asked.why.endswith("through reports")
    assert asked.example.endswith("connection: reports")


def test_a_service_that_runs_nowhere_is_declared(recommended: Recommended) -> None:
    """Zero replicas are an answer."""
    found = recommended(services=[{"name": "web", "replicas": 0}])
    assert "services" not in missing(found)
    assert not [line for line in lines(found) if "LIMIT" in line]


def test_a_service_that_cannot_be_read_is_noted(recommended: Recommended) -> None:
    """It is not in the sum either."""
    assert "did you mean 'replicas'?" in notes(recommended(services=[{"name": "a", "replica": 1}]))


def test_a_role_of_several_servers_gets_the_largest_limit(recommended: Recommended) -> None:
    """The other one may be a standby, which has its primary's roles and their limits."""
    found = recommended(
        connections={"replica": {"connection_settings": {"host": "replica"}}},
        services=[{"name": "web", "replicas": 20}, {"name": "reader", "connection": "replica"}],
    )
    limits = [
        [item.line for item in server.advice if "LIMIT" in item.line] for server in found.servers
    ]
    assert limits == [["ALTER ROLE app CONNECTION LIMIT 22;"]] * 2


def test_a_pooler_is_not_counted(recommended: Recommended) -> None:
    """The server sees the pooler's own connections; a limit on their role would cut it off."""
    found = recommended(
        connections={"pooled": {"pooler": "session"}},
        services=[{"name": "web", "replicas": 50}, {"name": "api", "connection": "pooled"}],
    )
    assert "max_connections = 100" in lines(found)
    assert not [line for line in lines(found) if "LIMIT" in line]
    assert "pooled goes through a pooler (session)" in notes(found)


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=5))
def test_a_limit_is_the_next_whole_number_above_a_tenth_more(demands: list[int]) -> None:
    """In whole numbers: as floating point, 1.1 * 10 is more than 11."""
    asked = [Demand("a", "default", "role", "db", most, 0, "") for most in demands]
    limit = _limits(asked)["role"]
    assert limit * 10 >= sum(demands) * 11 > (limit - 1) * 10
    assert limit > sum(demands)


@pytest.mark.parametrize(("most", "limit"), [(1, 2), (10, 11), (11, 13), (100, 110)])
def test_limits(most: int, limit: int) -> None:
    """A tenth to spare, and one at least."""
    assert _limits([Demand("a", "default", "role", "db", most, 0, "")]) == {"role": limit}
