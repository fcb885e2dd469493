"""Two ways of writing the same compare as equal, and nothing else does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgstrata.schema.meaning import meaning, target_and_key

PORT = "connection_settings.port"
HOST = "connection_settings.host"
SESSION = "session_settings."


@pytest.mark.parametrize(
    ("key", "one", "other"),
    [
        (f"{SESSION}statement_timeout", "5s", "5000"),
        (f"{SESSION}statement_timeout", "5s", "5000ms"),
        (f"{SESSION}work_mem", "1GB", "1048576kB"),
        (f"{SESSION}jit", "on", "true"),
        (f"{SESSION}jit", "1", "yes"),
        (f"{SESSION}default_transaction_isolation", "SERIALIZABLE", "serializable"),
        ("sync_settings.lock_timeout", "2min", "120s"),
        ("async_settings.lock_timeout", "2min", "120s"),
        ("connections.analytics.session_settings.lock_timeout", "2min", "120s"),
        (PORT, 5432, "5432"),
        (PORT, "5432,5432", 5432),
        (HOST, "DB.example.com", "db.example.com"),
        ("pool_settings.timeout", 30, 30.0),
    ],
)
def test_same(key: str, one: object, other: object) -> None:
    """They mean the same."""
    assert meaning(key, one) == meaning(key, other)  # type: ignore[arg-type]  # values of all types


@pytest.mark.parametrize(
    ("key", "one", "other"),
    [
        (f"{SESSION}statement_timeout", "5s", "5001"),
        (f"{SESSION}application_name", "on", "true"),
        (f"{SESSION}app.limit", "5s", "5000"),
        ("pool_settings.name", "5s", "5000"),
        (HOST, "a,b", "b,a"),
        (HOST, "/run/DB", "/run/db"),
        (PORT, "5432,5433", "5433,5432"),
        (PORT, "5432,5433", 5432),
    ],
)
def test_different(key: str, one: object, other: object) -> None:
    """They do not mean the same."""
    assert meaning(key, one) != meaning(key, other)  # type: ignore[arg-type]  # values of all types


@given(st.integers(0, 2_000_000))
def test_seconds_and_milliseconds(seconds: int) -> None:
    """A time-out means the same in seconds and in milliseconds, whatever it is."""
    key = f"{SESSION}statement_timeout"
    assert meaning(key, f"{seconds}s") == meaning(key, str(seconds * 1000))


def test_what_no_server_reads_is_itself() -> None:
    """A value that PostgreSQL would refuse is compared as text."""
    assert meaning(f"{SESSION}statement_timeout", "soon") == "soon"


def test_keys_of_named_connections() -> None:
    """A key is split into the connection's name and its own key, which may have dots."""
    assert target_and_key("connections.a.session_settings.app.x") == ("a", "session_settings.app.x")
    assert target_and_key("session_settings.app.x") == ("", "session_settings.app.x")
