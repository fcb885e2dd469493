from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgstrata.audit.checks.parity.parameters import BEHAVIOUR, SCALED
from pgstrata.audit.facts import (
    CAPS,
    CLEAR_TEXTS,
    FACTS,
    SETTINGS,
    role_sql,
    scrubbed,
    wrapped,
)
from pgstrata.model import MASK
from pgstrata.schema import parameters
from pgstrata.secrets.redact import REDACTED

OF_A_RULE = {"auth_method": "ldap", "options": None, "error": None}

WRITES = r"\b(INSERT|UPDATE|DELETE|CREATE|DROP|ALTER|GRANT|SET|RESET|COPY|CALL|DO|LOCK|VACUUM)\b"
ACTS = r"pg_(terminate|cancel|reload|rotate|switch|promote|create|drop|advisory|logical|read|ls)_"


@pytest.mark.parametrize("query", [CAPS, SETTINGS.query, *(fact.query for fact in FACTS)])
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
        ({"name": "app.key", "value": ""}, {"name": "app.key", "value": ""}),
        ({"name": "work_mem", "setting": "4MB"}, {"name": "work_mem", "setting": "4MB"}),
        ({"name": "ext.limit", "vartype": "integer", "setting": "4"},
         {"name": "ext.limit", "vartype": "integer", "setting": "4"}),
        ({"name": "TimeZone", "vartype": "string", "setting": "UTC"},
         {"name": "TimeZone", "vartype": "string", "setting": "UTC"}),
        ({**OF_A_RULE, "options": ["map=x", "ldapbindpasswd=h"]},
         {**OF_A_RULE, "options": ["map=x", f"ldapbindpasswd={MASK}"]}),
        ({**OF_A_RULE, "options": ["radiussecrets=a,b"]},
         {**OF_A_RULE, "options": [f"radiussecrets={MASK}"]}),
        ({**OF_A_RULE, "error": "authentication option not in name=value format: hush"},
         {**OF_A_RULE, "error": f"authentication option not in name=value format: {MASK}"}),
        (OF_A_RULE, OF_A_RULE),
        ({"name": "password_encryption", "setting": "md5"},
         {"name": "password_encryption", "setting": "md5"}),
    ],
)  # fmt: skip
def test_secrets_are_masked_and_nothing_else(row: dict[str, Any], expected: dict[str, Any]) -> None:
    """The name of what was masked stays readable."""
    assert scrubbed(row) == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("archive_command", "AWS_SECRET_ACCESS_KEY=hush-hush cp %p /b"),
        ("restore_command", "curl -u bob:hush-hush https://a/%f"),
        ("ssl_passphrase_command", "echo hush-hush"),
        ("primary_conninfo", "host=a user=b password=hush-hush"),
        ("app.api_key", "hush-hush"),
        ("app.key", "hush-hush"),
        ("pgcrypto.encryption_key", "hush-hush"),
        ("cluster_name", "hush-hush"),
    ],
)
@pytest.mark.parametrize("keys", [("setting", "reset_val", "boot_val"), ("value",)], ids=str)
def test_of_free_text_the_name_alone_is_kept(name: str, text: str, keys: tuple[str, ...]) -> None:
    """A secret may be anywhere in it."""
    row = {"name": name, "vartype": "string", **dict.fromkeys(keys, text)}
    assert scrubbed(row) == {**row, **dict.fromkeys(keys, REDACTED)}


@pytest.mark.parametrize("name", [*BEHAVIOUR, *SCALED])
def test_what_is_compared_is_kept(name: str) -> None:
    """Two masks would look alike."""
    parameter = parameters.find(name)
    assert parameter is not None
    assert parameter.vartype != "string" or name.lower() in CLEAR_TEXTS


@given(
    st.text("abcdefgh", min_size=8, max_size=20),
    st.sampled_from(["ldapbindpasswd", "radiussecrets"]),
)
def test_no_secret_of_a_rule_gets_through(secret: str, option: str) -> None:
    """Whatever it is."""
    assert secret not in repr(scrubbed({**OF_A_RULE, "options": [f"{option}={secret}"]}))


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
