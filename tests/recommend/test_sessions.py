from __future__ import annotations

from typing import Any

import pytest
from tests.recommend.conftest import Recommended, lines, notes

SCOPE = "ALTER ROLE app IN DATABASE app SET"
POOL = {"min_size": 2, "max_size": 4}
QUIET: dict[str, Any] = {"host": "localhost"}  # nothing to tell the server of lost peers


@pytest.mark.parametrize(
    ("sections", "fires"),
    [
        ({"pool_settings": POOL}, True),
        ({"async_pool_settings": POOL}, True),
        ({"connection_type": "pool"}, True),
        ({"pool_settings": {"min_size": 0, "max_size": 4}}, False),
        ({}, False),
    ],
)
def test_what_a_pool_keeps_is_not_ended(
    recommended: Recommended, sections: dict[str, Any], *, fires: bool
) -> None:
    """Where a pool keeps connections open, and only there."""
    expected = f"{SCOPE} idle_session_timeout = '0';"
    assert (expected in lines(recommended(**sections), "sql")) is fires


def test_a_client_that_ends_its_own_pool_is_told(recommended: Recommended) -> None:
    """Its own setting wins over what the role has."""
    found = recommended(pool_settings=POOL, session_settings={"idle_session_timeout": "10s"})
    assert "session_settings.idle_session_timeout ends what the pool keeps" in notes(found)
    found = recommended(pool_settings=POOL, session_settings={"idle_session_timeout": 0})
    assert "idle_session_timeout" not in notes(found)


def test_the_server_is_as_attentive_as_the_client(recommended: Recommended) -> None:
    """Where the client says how soon a lost peer is noticed; the most impatient one decides."""
    found = recommended(
        {"keepalives_idle": 30, "keepalives_interval": 5, "keepalives_count": 3},
        connections={
            "hasty": {"connection_settings": {"keepalives_idle": 10, "tcp_user_timeout": 9000}}
        },
    )
    assert lines(found, "sql") == [
        f"{SCOPE} tcp_keepalives_idle = '10s';",
        f"{SCOPE} tcp_keepalives_interval = '5s';",
        f"{SCOPE} tcp_keepalives_count = '3';",
        f"{SCOPE} tcp_user_timeout = '9000ms';",
    ]


@pytest.mark.parametrize(
    ("timeout", "expected"),
    [("500ms", "250ms"), ("1s", "500ms"), ("1ms", "1ms"), ("2s", ""), ("0", "")],
)
def test_deadlocks_are_looked_for_before_the_client_gives_up(
    recommended: Recommended, timeout: str, expected: str
) -> None:
    """Only where lock_timeout is no longer than PostgreSQL's deadlock_timeout of a second."""
    found = lines(recommended(QUIET, session_settings={"lock_timeout": timeout}), "sql")
    assert found == ([f"{SCOPE} deadlock_timeout = '{expected}';"] if expected else [])


def test_names_are_quoted(recommended: Recommended) -> None:
    """Whatever they are."""
    found = recommended({"user": 'a"b', "dbname": "select", **QUIET}, connection_type="pool")
    assert lines(found, "sql") == [
        'ALTER ROLE "a""b" IN DATABASE "select" SET idle_session_timeout = \'0\';'
    ]


def test_replication_has_no_database(recommended: Recommended) -> None:
    """Settings of a role in a database do not hold for it."""
    assert lines(recommended({"replication": "true", "keepalives_idle": 30}), "sql") == []
