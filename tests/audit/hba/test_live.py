"""The simulator against live servers: what it foretells is what the probe sees."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from tests.audit.hba.generated import Ground, attempts, foretold, ground, lines, loaded, seen
from tests.certificates import Certificates
from tests.servers import embedded_bindir, system_bindir


@pytest.fixture(scope="module")
def plain(certificates: Certificates) -> Iterator[Ground]:
    with ground(embedded_bindir(), certificates) as found:
        yield found


@pytest.fixture(scope="module")
def tls(certificates: Certificates) -> Iterator[Ground]:
    with ground(system_bindir(), certificates) as found:
        yield found


def compare(where: Ground, seed: int, count: int) -> int:
    """Return how many cases the simulator leaves open; fail at a contradiction."""
    random = Random(seed)
    written = lines(random, where)
    found = loaded(where, written)
    assert not any(rule.broken for rule in found), written
    unknown = 0
    for attempt in attempts(random, where, count):
        requests, doubt = foretold(found, attempt, where.known)
        answer = seen(where, attempt)
        assert answer.request in requests, (attempt, answer, doubt, "\n".join(written))
        unknown += bool(doubt)
    return unknown


def test_plain(plain: Ground) -> None:
    """x"""
    print(sum(compare(plain, seed, 20) for seed in range(20)))


def test_tls(tls: Ground) -> None:
    """x"""
    print(sum(compare(tls, seed, 20) for seed in range(20)))
