from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgstrata.audit.facts import CAPS, FACTS, REDACTED, role_sql, scrubbed, wrapped

WRITES = r"\b(INSERT|UPDATE|DELETE|CREATE|DROP|ALTER|GRANT|SET|RESET|COPY|CALL|DO|LOCK|VACUUM)\b"
ACTS = r"pg_(terminate|cancel|reload|rotate|switch|promote|create|drop|advisory|logical|read|ls)_"


@pytest.mark.parametrize("query", [CAPS, *(fact.query for fact in FACTS)])
def test_a_query_only_selects(query: str) -> None:
    """READ ONLY would not stop a function that acts on the server."""
    without_texts = re.sub(r"'[^']*'", "''", query)
    assert not re.search(WRITES, without_texts)
    assert not re.search(ACTS, without_texts)
    assert ";" not in query
    assert wrapped(query).startswith("SELECT ")


def test_every_need_is_a_capability() -> None:
    """A misspelt one would fail on the first server."""
    for need in {need for fact in FACTS for need in fact.needs}:
        assert re.search(rf"\bAS\s+{need}\b", CAPS)


def test_names_are_unique() -> None:
    """One fact would hide another."""
    assert len({fact.name for fact in FACTS}) == len(FACTS)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"name": "app.jwt_secret", "value": "x"}, {"name": "app.jwt_secret", "value": REDACTED}),
        ({"name": "work_mem", "setting": "4MB"}, {"name": "work_mem", "setting": "4MB"}),
        (
            {"name": "primary_conninfo", "setting": "host=a password=hush user=b"},
            {"name": "primary_conninfo", "setting": f"host=a password={REDACTED} user=b"},
        ),
        ({"options": ["map=x", "ldapbindpasswd=h"]},
         {"options": ["map=x", f"ldapbindpasswd={REDACTED}"]}),
        ({"options": ["radiussecrets=a,b"]}, {"options": [f"radiussecrets={REDACTED}"]}),
        ({"options": None}, {"options": None}),
        ({"name": "password_encryption", "setting": "md5"},
         {"name": "password_encryption", "setting": "md5"}),
    ],
)  # fmt: skip
def test_secrets_are_masked_and_nothing_else(row: dict[str, Any], expected: dict[str, Any]) -> None:
    """The name of what was masked stays readable."""
    assert scrubbed(row) == expected


@given(
    st.text("abcdefgh", min_size=8, max_size=20),
    st.sampled_from(["ldapbindpasswd", "radiussecrets"]),
)
def test_no_secret_of_a_rule_gets_through(secret: str, option: str) -> None:
    """Whatever it is."""
    assert secret not in repr(scrubbed({"options": [f"{option}={secret}"]}))


def test_the_role_is_made_in_one_go() -> None:
    """Its name is in every statement, and those for newer versions are told apart."""
    text = role_sql('"my auditor"')
    lines = [line for line in text.splitlines() if not line.startswith("--")]
    assert all('"my auditor"' in line for line in lines)
    assert "-- PostgreSQL 15 and newer:" in text
    assert len(lines) == len(set(lines))


def test_no_name_of_a_role_ends_a_comment() -> None:
    """What follows a line break would be a statement of its own."""
    comments = [line.partition("--")[2] for line in role_sql('"MARK"').splitlines()]
    assert not [comment for comment in comments if "MARK" in comment]
