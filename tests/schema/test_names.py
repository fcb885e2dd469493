"""The rules for names."""

from __future__ import annotations

import pytest

from pgstrata.schema.keys import SECTIONS
from pgstrata.schema.names import connection_name_problem, is_showable, key_of, parameter_problems


@pytest.mark.parametrize("name", ["a", "main", "read_only", "db2", "items"])
def test_names_of_connections(name: str) -> None:
    """They can be written in a variable."""
    assert connection_name_problem(name) == ""


@pytest.mark.parametrize("name", ["", "A", "a__b", "_a", "a_", "a-b", "2a", "default", "a" * 41])
def test_what_names_no_connection(name: str) -> None:
    """Each has its reason."""
    assert connection_name_problem(name)


@pytest.mark.parametrize(
    ("section", "name", "found"),
    [
        ("connection_settings", "host", "host"),
        ("connection_settings", "hots", None),
        ("pool_settings", "min_size", "min_size"),
        ("session_settings", "TimeZone", "timezone"),
        ("session_settings", "App.User", "app.user"),
        ("session_settings", "app_user", None),
    ],
)
def test_keys_of_sections(section: str, name: str, found: str | None) -> None:
    """Two spellings of one parameter are one key."""
    key = key_of(SECTIONS[section], name)
    assert (key.name if key else None) == found


@pytest.mark.parametrize(
    ("name", "text", "rules"),
    [
        ("statement_timeout", "30s", []),
        ("statement_timeout", "0", []),
        ("statement_timeout", "30", ["unit"]),
        ("statement_timeout", "soon", ["invalid-value"]),
        ("shared_buffers", "1GB", ["server-parameter"]),
        ("app.user", "anything", []),
    ],
)
def test_problems_of_parameters(name: str, text: str, rules: list[str]) -> None:
    """Unknown ones are found by their key; these by their value."""
    assert [rule for rule, _, _ in parameter_problems(name, text)] == rules


def test_only_names_are_shown() -> None:
    """A key that holds more than a name may hold a password."""
    assert is_showable("pasword")
    assert not is_showable("password:secret")
