"""Regular expressions: what is answered here is what PostgreSQL answers."""

from __future__ import annotations

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.servers import Server

from pgstrata.audit.hba.regex import search

ASK = 'SELECT (%s::text COLLATE "C") ~ %s'
PIECES = [
    *("a", "b", "B", "1", " ", "_", ".", "\\.", "\\d", "\\w", "\\s", "[ab]", "[^a]", "[a-b1]"),
    *("(", ")", "|", "^", "$", "*", "+", "?", "{2}", "{1,}", "{0,1}", "*?", "{", "-", "\\", "]"),
]
patterns = st.lists(st.sampled_from(PIECES), max_size=7).map("".join)
names = st.text("abB1 _.-\n\\{]é", max_size=6)


def ask(server: Server, pattern: str, name: str) -> bool | None:
    """Return the server's answer; None where it refuses the pattern."""
    with psycopg.connect(**server.keywords()) as connection:
        try:
            row = connection.execute(ASK, (name, pattern)).fetchone()
        except psycopg.errors.InvalidRegularExpression:
            return None
    assert row is not None
    return bool(row[0])


@given(st.lists(st.tuples(patterns, names), min_size=30, max_size=60))
@settings(max_examples=6, deadline=None)
def test_generated_patterns(server: Server, pairs: list[tuple[str, str]]) -> None:
    """No answer contradicts the server's, for patterns that it accepts."""
    with psycopg.connect(**server.keywords(), autocommit=True) as connection:
        for pattern, name in pairs:
            answer = search(pattern, name)
            if isinstance(answer, bool):
                try:
                    row = connection.execute(ASK, (name, pattern)).fetchone()
                except psycopg.errors.InvalidRegularExpression:
                    continue
                assert row == (answer,), (pattern, name)


@pytest.mark.parametrize(
    ("pattern", "name", "answer"),
    [
        ("^app_[0-9]+$", "app_12", True),
        ("^app_[0-9]+$", "my_app_12", False),
        ("p", "app", True),
        ("", "anything", True),
        ("^(dev|test)\\.", "test.x", True),
        ("^[^a-c]{3}$", "xyz", True),
        ("A", "a", False),
    ],
)
def test_ordinary_patterns(server: Server, pattern: str, name: str, answer: bool) -> None:  # noqa: FBT001 # a table's cell
    """What people write is answered here, as the server would."""
    assert search(pattern, name) is answer
    assert ask(server, pattern, name) is answer


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("[[:alpha:]]", "a"),
        ("(?i)a", "A"),
        ("(a)\\1", "aa"),
        ("a**", "a"),
        ("^*", "a"),
        ("\\m", "m"),
        ("a", "ä"),
        ("***=a", "a"),
        ("a{1,300}", "a"),
        ("(", "("),
    ],
)
def test_the_rest_is_left_to_the_server(pattern: str, name: str) -> None:
    """What may mean something else in Python is not answered."""
    assert "only the server can tell" in str(search(pattern, name))
