"""Which rule decides: the first that matches, for each part of a network, or nobody can tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.audit.hba.written import rule, rules

from pgstrata.audit.hba import Attempt, Known, transports, verdict, verdicts

CLIENT = ip_network("10.1.2.3")


KNOWN = Known(
    memberships={
        "bob": frozenset({"bob", "staff", "everybody"}),
        "eve": frozenset({"eve"}),
        "ghost": frozenset(),
    },
    host_names={IPv4Address("10.1.2.3"): "Db1.Example.com", IPv4Address("10.9.9.9"): ""},
    server_addresses=frozenset({IPv4Address("10.0.0.1")}),
)


@pytest.mark.parametrize(
    ("columns", "attempt", "kind"),
    [
        ("host all all all md5", Attempt("app", "bob", CLIENT), "rule"),
        ("local all all md5", Attempt("app", "bob", CLIENT), "no_entry"),
        ("local all all md5", Attempt("app", "bob"), "rule"),
        ("host all all all md5", Attempt("app", "bob"), "no_entry"),
        ("hostssl all all all md5", Attempt("app", "bob", CLIENT), "no_entry"),
        ("hostssl all all all md5", Attempt("app", "bob", CLIENT, "tls"), "rule"),
        ("hostnossl all all all md5", Attempt("app", "bob", CLIENT, "gss"), "rule"),
        ("hostgssenc all all all md5", Attempt("app", "bob", CLIENT, "gss"), "rule"),
        ("hostnogssenc all all all md5", Attempt("app", "bob", CLIENT, "gss"), "no_entry"),
        ("host ALL all all md5", Attempt("app", "bob", CLIENT), "no_entry"),
        ("host sameuser all all md5", Attempt("bob", "bob", CLIENT), "rule"),
        ("host samerole all all md5", Attempt("staff", "bob", CLIENT), "rule"),
        ("host samegroup all all md5", Attempt("staff", "eve", CLIENT), "no_entry"),
        ("host samerole all all md5", Attempt("staff", "who", CLIENT), "unknown"),
        ("host all +everybody all md5", Attempt("app", "bob", CLIENT), "rule"),
        ("host all +ghost all md5", Attempt("app", "ghost", CLIENT), "no_entry"),
        ("host all +bob all md5", Attempt("app", "bob", CLIENT), "rule"),
        ("host all +staff all md5", Attempt("app", "+staff", CLIENT), "unknown"),
        ("host all all all md5", Attempt("app", "bob", CLIENT, replication=True), "no_entry"),
        ("host replication all all md5", Attempt("app", "bob", CLIENT, replication=True), "rule"),
        ("host replication all all md5", Attempt("app", "bob", CLIENT), "no_entry"),
        ("host replication all all md5", Attempt("replication", "bob", CLIENT), "unknown"),
        ("host /^a all all md5", Attempt("app", "bob", CLIENT), "rule"),
        ("host /[[:alpha:]] all all md5", Attempt("app", "bob", CLIENT), "unknown"),
        ("host all all 10.0.0.0/8 md5", Attempt("app", "bob", CLIENT), "rule"),
        ("host all all ::ffff:10.1.2.3/128 md5", Attempt("app", "bob", CLIENT), "no_entry"),
        ("host all all db1.example.COM md5", Attempt("app", "bob", CLIENT), "rule"),
        ("host all all .example.com md5", Attempt("app", "bob", CLIENT), "rule"),
        ("host all all example.com md5", Attempt("app", "bob", CLIENT), "no_entry"),
        ("host all all db1 md5", Attempt("app", "bob", ip_network("10.9.9.9")), "no_entry"),
        ("host all all db1 md5", Attempt("app", "bob", ip_network("10.9.9.8")), "unknown"),
        ("host all all samehost md5", Attempt("app", "bob", ip_network("127.0.0.1")), "rule"),
        ("host all all samehost md5", Attempt("app", "bob", ip_network("127.0.0.2")), "no_entry"),
        ("host all all samenet md5", Attempt("app", "bob", ip_network("127.0.0.2")), "rule"),
        ("host all all samenet md5", Attempt("app", "bob", ip_network("10.0.0.1")), "rule"),
        ("host all all samenet md5", Attempt("app", "bob", CLIENT), "unknown"),
    ],
)
def test_one_rule(columns: str, attempt: Attempt, kind: str) -> None:
    """Each column by itself."""
    assert verdict([rule(columns)], attempt, KNOWN).kind == kind


def test_a_slash_is_a_slash_on_old_servers() -> None:
    """Regular expressions came with version 16."""
    old = rule("host /^a all all md5", regexes=False)
    assert verdict([old], Attempt("app", "bob", CLIENT), KNOWN).kind == "no_entry"
    assert verdict([old], Attempt("/^a", "bob", CLIENT), KNOWN).kind == "rule"


def test_the_server_s_own_answer_counts() -> None:
    """What the server was asked about a pattern is not decided here."""
    known = replace(KNOWN, regexes={("[[:alpha:]]", "app"): True})
    found = verdict(rules("host /[[:alpha:]] all all md5"), Attempt("app", "bob", CLIENT), known)
    assert found.kind == "rule"


def test_the_first_match_decides() -> None:
    """A later line is never reached, whatever the earlier one's method."""
    lines = rules("host app bob all reject", "host all all all trust")
    found = verdict(lines, Attempt("app", "bob", CLIENT), KNOWN)
    assert (found.rule, found.refused) == (lines[0], True)


def test_a_doubt_keeps_all_that_may_decide() -> None:
    """The doubtful line, and the first certain one after it."""
    lines = rules("host all all samenet trust", "host all all all md5", "host all all all reject")
    found = verdict(lines, Attempt("app", "bob", CLIENT), KNOWN)
    assert (found.kind, found.possible, found.refused) == ("unknown", lines[:2], False)
    assert "interfaces" in found.reason


def test_unsettled_rules_leave_everything_open() -> None:
    """A file that was edited and not reloaded is not in force, and its verdict a candidate."""
    known = replace(KNOWN, unsettled="the file is newer than the last reload")
    lines = rules("host all all all md5")
    found = verdict(lines, Attempt("app", "bob", CLIENT), known)
    assert (found.kind, found.reason, found.possible) == ("unknown", known.unsettled, lines)
    assert not verdict((), Attempt("app", "bob", CLIENT), known).refused


def test_a_network_is_divided_where_rules_begin_and_end() -> None:
    """Each part of the clients has its own verdict."""
    lines = rules("host all all 10.0.0.64/26 reject", "host all all 10.0.0.0/25 md5")
    found = verdicts(lines, Attempt("app", "bob", ip_network("10.0.0.0/24")), KNOWN)
    assert [(list(map(str, part.clients)), part.verdict.rule) for part in found] == [
        (["10.0.0.0/26"], lines[1]),
        (["10.0.0.64/26"], lines[0]),
        (["10.0.0.128/25"], None),
    ]


def test_a_mask_with_gaps_leaves_a_network_open() -> None:
    """It matches some clients of nearly every network, and certainly one by one."""
    gaps = replace(rule("host all all 10.0.0.9/32 md5"), netmask="255.0.0.255")
    network = Attempt("app", "bob", ip_network("10.0.0.0/24"))
    assert [part.verdict.kind for part in verdicts([gaps], network, KNOWN)] == ["unknown"]
    one = [
        verdict([gaps], replace(network, client=ip_network(f"10.7.7.{n}")), KNOWN) for n in (9, 8)
    ]
    assert [said.kind for said in one] == ["rule", "no_entry"]


prefixes = st.integers(26, 32)
networks = st.builds(
    lambda host, length: ip_network((0x0A000000 + host, length), strict=False),
    st.integers(0, 127),
    prefixes,
)


@given(st.lists(networks, max_size=6), networks)
def test_every_address_of_a_part_has_its_verdict(
    found: list[IPv4Network], client: IPv4Network
) -> None:
    """Parts are disjoint, make up the whole network, and speak for each address in them."""
    lines = rules(*(f"host all all {network} md5" for network in found))
    attempt = Attempt("app", "bob", client)
    parts = verdicts(lines, attempt, KNOWN)
    assert sum(n.num_addresses for part in parts for n in part.clients) == client.num_addresses
    for part in parts:
        for address in _addresses(part.clients):  # type: ignore[arg-type]  # of version 4
            single = replace(attempt, client=ip_network(address))
            assert verdict(lines, single, KNOWN) == part.verdict


def _addresses(clients: tuple[IPv4Network, ...]) -> Iterator[IPv4Address]:
    return (address for network in clients for address in network)


@pytest.mark.parametrize(
    ("sslmode", "tried"),
    [
        ("disable", ("plain",)),
        ("allow", ("plain", "tls")),
        ("prefer", ("tls", "plain")),
        ("require", ("tls",)),
        ("verify-full", ("tls",)),
    ],
)
def test_transports(sslmode: str, tried: tuple[str, ...]) -> None:
    """Each sslmode tries its own kinds of connection, in its order; a socket only one."""
    assert transports(sslmode, CLIENT) == tried
    assert transports(sslmode, None) == ("plain",)
