"""From text to the type of a key."""

from __future__ import annotations

import pytest

from pgstrata.schema.decode import decode, may_hold_password
from pgstrata.schema.keys import CONNECTION, POOL, SERVER, TYPE, Key

FLAG, PORT = CONNECTION["keepalives"], CONNECTION["port"]
TEXT, WHOLE = CONNECTION["dbname"], CONNECTION["connect_timeout"]
SWITCH, NUMBER = CONNECTION["autocommit"], POOL["timeout"]
MEMORY = SERVER["memory"]


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        (TEXT, "0123", "0123"),
        (TEXT, "", ""),
        (WHOLE, "5", 5),
        (WHOLE, "+5", 5),
        (NUMBER, "1.5", 1.5),
        (NUMBER, "30", 30.0),
        (SWITCH, "false", False),
        (SWITCH, "No", False),
        (SWITCH, "ON", True),
        (FLAG, "true", 1),
        (FLAG, "0", 0),
        (PORT, "5432", 5432),
        (PORT, "5432, 5433", "5432,5433"),
        (TYPE, "async_pool", "async_pool"),
        (MEMORY, "16GB", "16GB"),
        (MEMORY, "1.5 TB", "1.5 TB"),
    ],
)
def test_values(key: Key, text: str, value: object) -> None:
    """The key decides; the type counts as well as the value."""
    decoded = decode(key, text)
    assert (decoded, type(decoded)) == (value, type(value))


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        (WHOLE, "5.0", "not a whole number"),
        (WHOLE, "007", "not a whole number"),
        (WHOLE, "1_0", "not a whole number"),
        (WHOLE, "٣", "not a whole number"),
        (WHOLE, "-1", "too small"),
        (WHOLE, "", "not a whole number"),
        (NUMBER, "nan", "not a number"),
        (NUMBER, "inf", "not a number"),
        (NUMBER, "0", "the least is 0.1"),
        (POOL["max_lifetime"], "0", "the least is 1"),
        (POOL["max_idle"], "0", "the least is 1"),
        (SWITCH, "2", "neither true nor false"),
        (PORT, "0", "not a port"),
        (PORT, "65536", "not a port"),
        (PORT, "1,", "not a port"),
        (TYPE, "asyncpool", "did you mean 'async_pool'"),
        (MEMORY, "16", "has no unit"),
        (MEMORY, "16gb", "is not an amount of memory"),
        (MEMORY, "0", "out of range"),
        (MEMORY, "-1GB", "out of range"),
        (TEXT, "a\0b", "NUL"),
        (TEXT, "\udcff", "not Unicode"),
        (PORT, "postgresql://u:secret@h", "holds a URL or a password"),
    ],
)
def test_errors(key: Key, text: str, message: str) -> None:
    """The message fits behind the key's name, and quotes nothing that may be a password."""
    with pytest.raises(ValueError, match=message) as caught:
        decode(key, text)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "suspect"),
    [
        ("postgresql://u:p@h/d", True),
        ("host=h Password = x", True),
        ("postgresql://h/d?password=x", True),
        ("https://login.example.com", False),
        ("a@b", False),
        ("password", False),
    ],
)
def test_texts_that_may_hold_a_password(text: str, suspect: bool) -> None:  # noqa: FBT001  # a column of the table
    """URLs with a user, and conninfo strings."""
    assert may_hold_password(text) is suspect
