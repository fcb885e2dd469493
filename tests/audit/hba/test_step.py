"""What the server asks after a rule was chosen, and whether one can get in at all."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest
from tests.audit.hba.written import rule

from pgstrata.audit.hba import Attempt, Known, Mapped, next_step

TCP = Attempt("app", "bob", ip_network("10.0.0.1"))
TLS = replace(TCP, transport="tls", certificate="bob")
KNOWN = Known(
    password_kinds={"bob": "scram-sha-256", "old": "md5", "new": "none"},
    password_encryption="scram-sha-256",
    memberships={"bob": frozenset({"bob", "staff"}), "ghost": frozenset()},
    client_ca=True,
    ident=(
        Mapped("m", "outside", "bob"),
        Mapped("m", "/^(.*)@x$", "\\1"),
        Mapped("groups", "outside", "+staff"),
    ),
)


@pytest.mark.parametrize(
    ("method", "user", "requests", "possible"),
    [
        ("trust", "bob", {"nothing"}, True),
        ("reject", "bob", {"reject"}, False),
        ("password", "bob", {"password"}, True),
        ("password", "new", {"password"}, False),
        ("scram-sha-256", "bob", {"scram"}, True),
        ("scram-sha-256", "old", {"scram"}, False),
        ("scram-sha-256", "new", {"scram"}, False),
        ("scram-sha-256", "unknown", {"scram"}, True),
        ("md5", "bob", {"scram"}, True),
        ("md5", "old", {"md5"}, True),
        ("md5", "new", {"scram"}, False),
        ("md5", "ghost", {"scram"}, True),
        ("md5", "unknown", {"md5", "scram"}, True),
    ],
)
def test_passwords(method: str, user: str, requests: set[str], possible: bool) -> None:  # noqa: FBT001 # a table's cell
    """The method and the kind of the role's password decide together."""
    step = next_step(rule(f"host all all all {method}"), replace(TCP, user=user), KNOWN)
    assert (set(step.requests), step.possible, bool(step.problem)) == (
        requests,
        possible,
        not possible,
    )


def test_no_rule() -> None:
    """Without a rule nobody gets in."""
    step = next_step(None, TCP, KNOWN)
    assert (step.requests, step.possible) == (("no_entry",), False)


@pytest.mark.parametrize("method", ["ldap", "pam", "radius", "gss", "sspi", "oauth", "ident"])
def test_methods_that_others_decide(method: str) -> None:
    """Nobody can tell from the server's files."""
    step = next_step(rule(f"host all all all {method}"), TCP, KNOWN)
    assert method in str(step.possible)


@pytest.mark.parametrize(
    ("columns", "certificate", "client_ca", "requests", "possible"),
    [
        ("cert", "bob", True, {"nothing"}, True),
        ("cert", "eve", True, {"refused"}, False),
        ("cert", None, True, {"no_certificate"}, False),
        ("cert", "bob", False, {"no_client_ca"}, False),
        ("cert", None, None, {"no_certificate", "no_client_ca"}, False),
        ("cert", "bob", None, {"nothing", "no_client_ca"}, True),
        ("cert map=m", "outside", True, {"nothing"}, True),
        ("cert map=m", "stranger", True, {"nothing", "refused"}, "regular expression"),
        ("cert map=groups", "outside", True, {"nothing", "refused"}, "a group, or a name"),
        ("cert map=other", "outside", True, {"refused"}, False),
        ("cert clientname=DN", "bob", True, {"nothing", "refused"}, "distinguished name"),
        ("md5 clientcert=verify-ca", "eve", True, {"scram"}, True),
        ("md5 clientcert=verify-ca", None, True, {"no_certificate"}, False),
        ("md5 clientcert=verify-full", "eve", True, {"scram"}, False),
        ("trust clientcert=verify-full", "eve", True, {"refused"}, False),
    ],
)
def test_certificates(
    columns: str,
    certificate: str | None,
    client_ca: bool | None,  # noqa: FBT001 # a table's cell
    requests: set[str],
    possible: bool | str,  # noqa: FBT001 # a table's cell
) -> None:
    """A demand for a certificate comes before the method, its name after it."""
    known, attempt = replace(KNOWN, client_ca=client_ca), replace(TLS, certificate=certificate)
    step = next_step(rule(f"hostssl all all all {columns}"), attempt, known)
    assert (set(step.requests), step.needs_certificate) == (requests, True)
    if isinstance(possible, str):
        assert possible in str(step.possible)
    else:
        assert (step.possible, bool(step.problem)) == (possible, not possible)


@pytest.mark.parametrize(
    ("columns", "os_user", "requests"),
    [
        ("peer", "bob", {"nothing"}),
        ("peer", "eve", {"refused"}),
        ("peer", "", {"nothing", "refused"}),
        ("peer map=m", "outside", {"nothing"}),
    ],
)
def test_peer(columns: str, os_user: str, requests: set[str]) -> None:
    """The account of the machine must be the role, or be mapped to it."""
    attempt = Attempt("app", "bob", os_user=os_user)
    assert set(next_step(rule(f"local all all {columns}"), attempt, KNOWN).requests) == requests


def test_an_invisible_map_leaves_it_open() -> None:
    """Before 15 nobody can see pg_ident.conf by SQL."""
    step = next_step(rule("hostssl all all all cert map=m"), TLS, replace(KNOWN, ident=None))
    assert "cannot be seen" in str(step.possible)
