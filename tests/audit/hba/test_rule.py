"""Rows of pg_hba_file_rules, of live servers where the row is what matters."""

from __future__ import annotations

from typing import Any

import pytest
from tests.audit.hba.generated import Ground, loaded

from pgstrata.audit.hba import Attempt, Known, Rule, redacted, verdict

ROW: dict[str, Any] = {
    "line_number": 7,
    "type": "host",
    "database": ["all"],
    "user_name": ["bob"],
    "address": "10.5.0.1",
    "netmask": "255.0.0.0",
    "auth_method": "ldap",
    "options": ["ldapserver=x", "ldapbindpasswd=hunter2", "radiussecrets=a,b"],
    "error": None,
}


def test_a_row_of_an_old_server() -> None:
    """Until 15 there is no file name, and a slash has no meaning."""
    rule = Rule.from_row(ROW, 15)
    assert (rule.place, rule.regexes, str(rule.network)) == ("pg_hba.conf:7", False, "10.0.0.0/8")


def test_a_row_of_a_new_server() -> None:
    """From 16 on each row names its file."""
    rule = Rule.from_row({**ROW, "file_name": "/etc/x.conf", "rule_number": 3}, 16)
    assert (rule.place, rule.regexes) == ("/etc/x.conf:7", True)


def test_secrets_are_masked() -> None:
    """The view shows passwords in clear text; a rule and a saved row never do."""
    assert "hunter2" not in repr(Rule.from_row(ROW, 15)) + repr(redacted(ROW))
    assert redacted(ROW)["options"] == [
        "ldapserver=x",
        "ldapbindpasswd=********",
        "radiussecrets=********",
    ]


@pytest.mark.parametrize(
    "error",
    [
        "authentication option not in name=value format: hunter2",
        'could not parse LDAP URL "ldap://u:hunter2@x": bad',
        'could not parse RADIUS secret list "hunter2"',
    ],
)
def test_quoted_secrets_in_errors_are_masked(error: str) -> None:
    """A message about a malformed option quotes it."""
    assert "hunter2" not in Rule.from_row({**ROW, "error": error}, 16).error
    assert "hunter2" not in str(redacted({**ROW, "options": None, "error": error}))


@pytest.mark.parametrize("method", ["ldap ldapserver=x hunter2", "ldap ldapurl=hunter2"])
def test_a_server_s_own_message_shows_no_secret(tls: Ground, method: str) -> None:
    """Whatever stands where an option should be, the message about it is masked."""
    *_, rule = loaded(tls, [f"host all all all {method}"])
    assert rule.broken
    assert "hunter2" not in repr(rule)


@pytest.mark.parametrize(
    ("mask", "network"),
    [
        ("255.255.0.0", "10.5.0.0/16"),
        ("0.0.0.0", "0.0.0.0/0"),
        ("255.0.255.0", "None"),
        ("0.0.0.255", "None"),
    ],
)
def test_networks(mask: str, network: str) -> None:
    """A netmask may have gaps, which no network has."""
    assert str(Rule.from_row({**ROW, "netmask": mask}, 16).network) == network


@pytest.mark.parametrize(
    "line", ["host all all all nonsense", "hostssl all all all md5 clientcert=1"]
)
def test_a_broken_line_leaves_earlier_rules_in_force(tls: Ground, line: str) -> None:
    """With an error in the view, and with nothing in it at all but the line's number."""
    *_, rule = loaded(tls, ["host all all 127.0.0.0/8 trust", line])
    assert rule.broken
    assert rule.line == 3
    said = verdict([rule], Attempt("app", "bob"), Known())
    assert (said.kind, "does not accept this file" in said.reason) == ("unknown", True)


def test_a_line_that_cannot_match_breaks_nothing(plain: Ground) -> None:
    """A line hostssl on a server without TLS has an error, and counts all the same."""
    *_, rule = loaded(plain, ["hostssl all all all trust"])
    assert (rule.broken, rule.error != "") == (False, True)
    assert verdict([rule], Attempt("app", "bob"), Known()).kind == "no_entry"
