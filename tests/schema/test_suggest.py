from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgstrata.schema.suggest import ALIASES, closest

CONNECTION = (
    *("host", "hostaddr", "port", "dbname", "user", "password", "sslmode", "sslcert", "sslkey"),
    *("sslrootcert", "application_name", "connect_timeout", "url", "options"),
)
POOL = ("min_size", "max_size", "timeout", "max_idle", "max_lifetime", "max_waiting", "num_workers")
SECTIONS = (
    *("connection_type", "connection_settings", "session_settings", "sync_settings"),
    *("async_settings", "pool_settings", "async_pool_settings", "connections", "services"),
)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        *[(word, "dbname") for word in ("database", "db", "database_name", "Database-Name")],
        *[(word, "user") for word in ("username", "user_name", "usr", "USER")],
        *[(word, "password") for word in ("pass", "passwd", "pwd", "pasword", "passwrod")],
        *[(word, "host") for word in ("hostname", "server", "hots")],
        *[(word, "sslmode") for word in ("ssl_mode", "ssl", "SSLMode", "ssl mode", "sslmod")],
        *[(word, "sslrootcert") for word in ("ssl_root_cert", "sslca", "ca")],
        *[(word, "url") for word in ("dsn", "uri", "database_url")],
        ("ssl_cert", "sslcert"),
        ("ssl_key", "sslkey"),
        ("appname", "application_name"),
        ("timeout", "connect_timeout"),
        ("prot", "port"),
    ],
)
def test_a_connection_setting_is_found(word: str, expected: str) -> None:
    """Aliases of other tools and slips of the finger lead to libpq's keyword."""
    assert closest(word, CONNECTION) == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        *[(word, "max_size") for word in ("max_conn", "max_connections", "pool_size", "maxsize")],
        *[(word, "min_size") for word in ("min_conn", "minsize", "min-size", "min_sise")],
        ("timeout", "timeout"),
        ("time_out", "timeout"),
        ("max_lifetme", "max_lifetime"),
    ],
)
def test_a_pool_setting_is_found(word: str, expected: str) -> None:
    """Where ``timeout`` is itself a candidate, no alias leads away from it."""
    assert closest(word, POOL) == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        *[(word, "connection_settings") for word in ("connection", "connections_settings")],
        *[(word, "session_settings") for word in ("session", "settings", "sesion_settings")],
        ("pool", "pool_settings"),
        ("async-pool", "async_pool_settings"),
        ("async_pool_setings", "async_pool_settings"),
    ],
)
def test_a_section_is_found(word: str, expected: str) -> None:
    """Short and near names of the sections lead to the full ones."""
    assert closest(word, SECTIONS) == expected


@pytest.mark.parametrize("word", ["", "-", "colour", "xyz", "replica_count", "ho", "mode_of_x"])
def test_no_far_fetched_guess(word: str) -> None:
    """A word that resembles nothing gets no suggestion."""
    assert closest(word, CONNECTION) is None


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("prod", "production"),
        ("PROD", "production"),
        ("sta", "staging"),
        ("st", None),  # too short
        ("dev", None),  # two begin with it
        ("develop", None),
        ("uction_e", None),
    ],
)
def test_the_beginning_of_one_name_is_enough(word: str, expected: str | None) -> None:
    """At least three letters, with which no other name begins."""
    names = ("production", "staging", "development_eu", "development_us")
    assert closest(word, names) == expected


def test_an_alias_needs_its_target_among_the_candidates() -> None:
    """An alias never suggests a name that is not allowed in that place."""
    assert closest("db", POOL) is None
    assert closest("db", []) is None


def test_aliases_may_be_given() -> None:
    """The table of aliases is a parameter."""
    assert closest("colour", ["hue"], {"colour": "hue"}) == "hue"
    assert closest("db", CONNECTION, {}) is None


def test_every_alias_is_reachable() -> None:
    """No key of the table holds letters that the normalisation takes away."""
    for alias, name in ALIASES.items():
        assert closest(alias, [name]) == name
        assert closest(alias.upper(), [name]) == name


@given(
    st.text(string.ascii_letters + "-_ ", max_size=20),
    st.lists(st.text(string.ascii_lowercase + "_", min_size=1, max_size=20), max_size=8),
)
def test_the_guess_is_always_a_candidate(word: str, candidates: list[str]) -> None:
    """Whatever is asked, the answer is one of the candidates or None."""
    assert closest(word, candidates) in {*candidates, None}
