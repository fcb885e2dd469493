"""The simulator against live servers: what it foretells is what the probe sees."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import replace
from random import Random

import pytest
from tests.audit.hba.generated import Ground, attempts, foretold, ground, lines, loaded, seen
from tests.certificates import Certificates
from tests.versions import VERSIONS, bindir

from pgstrata.audit.hba import Attempt, suggest, verdict

CASES = 20  # for each file
OPEN = 0.02  # as much may be left open


def compare(where: Ground, seeds: Iterable[int], cases: int = CASES) -> None:
    """Fail at a contradiction between simulator and server, and where too much is left open."""
    doubts = [doubt for seed in seeds for doubt in _compare(where, seed, cases)]
    left_open = [doubt for doubt in doubts if doubt]
    assert len(left_open) <= OPEN * len(doubts), left_open


def _compare(where: Ground, seed: int, cases: int) -> list[str]:
    random = Random(seed)
    written = lines(random, where)
    found = loaded(where, written)
    assert not any(rule.broken for rule in found), written
    doubts = []
    for attempt in attempts(random, where, found, cases):
        requests, doubt = foretold(found, attempt, where.known)
        answer = seen(where, attempt)
        assert answer.request in requests, (seed, attempt, answer, doubt, "\n".join(written))
        doubts.append(doubt)
    return doubts


def test_plain_and_socket(plain: Ground) -> None:
    """120 attempts without TLS, on a version with regular expressions."""
    compare(plain, range(6))


def test_tls(tls: Ground) -> None:
    """80 attempts, of which some use TLS and some of those a client certificate."""
    compare(tls, range(100, 104))


@pytest.mark.matrix
@pytest.mark.parametrize("version", VERSIONS)
def test_matrix(version: int, certificates: Certificates) -> None:
    """5,000 attempts for each version."""
    with ground(bindir(version, tls=True), certificates, tls=True) as where:
        compare(where, range(1000, 1125), cases=40)


def confirmed_name(address: str) -> str:
    """Return the name of an address that leads back to it, or empty."""
    name = socket.getnameinfo((address, 0), 0)[0]
    try:
        back = socket.getaddrinfo(name, 0)
    except OSError:
        return ""
    return name if address in {found[4][0] for found in back} else ""


@pytest.mark.parametrize("address", ["localhost", ".invalid"])
def test_host_names(plain: Ground, address: str) -> None:
    """A rule with a host name goes by the name that the server finds for the client."""
    client = ipaddress.IPv4Address("127.0.0.1")
    known = replace(plain.known, host_names={client: confirmed_name(str(client))})
    found = loaded(plain, [f"host all all {address} trust"])
    attempt = Attempt("postgres", "alice", ipaddress.ip_network(client))
    assert verdict(found, attempt, plain.known).kind == "unknown"
    requests, doubt = foretold(found, attempt, known)
    assert (seen(plain, attempt).request in requests, doubt) == (True, "")


REFUSING = [
    ["host all all 127.0.0.0/8 reject"],
    [
        "host app all all trust",
        "host all bob 127.0.0.0/8 reject",
        "host all all 127.0.0.2/32 reject",
    ],
    ["host all all 10.0.0.0/8 trust"],
    [],
]


@pytest.mark.parametrize("written", REFUSING, ids=["all", "order", "elsewhere", "empty"])
@pytest.mark.parametrize("client", ["127.0.0.0/30", None], ids=["tcp", "socket"])
def test_suggested_line_lets_the_client_in(
    plain: Ground, written: list[str], client: str | None
) -> None:
    """The line works where the suggestion puts it, for each client of the network."""
    network = None if client is None else ipaddress.ip_network(client)
    attempt = Attempt("my db", "Sales Rep", network)
    found = loaded(plain, written)
    said = suggest(found, attempt, plain.known)
    at = len(written) if said.before is None else found.index(said.before) - 1  # after sql's own
    loaded(plain, [*written[:at], said.line, *written[at:]])
    each = [None] if network is None else [ipaddress.ip_network(f"127.0.0.{n}") for n in (1, 2)]
    answers = [seen(plain, replace(attempt, client=one)).request for one in each]
    assert set(answers) == {"scram"}, said
