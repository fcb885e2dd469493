"""PgBouncer in transaction mode, with four pools that share three connections to the server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from time import monotonic

import pytest
from tests.faults.ledger import Load
from tests.faults.stage import CONF, answering
from tests.faults.subjects import async_pool, pool
from tests.ha.nodes import bindir
from tests.ha.pgbouncer import Bouncer, bouncing
from tests.servers import Server

pytestmark = pytest.mark.ha
POOLS = (pool, pool, async_pool, async_pool)
ENOUGH = 200  # transactions of each pool: many more than it takes to prepare a statement


@pytest.fixture(scope="module")
def behind() -> Iterator[Server]:
    """Return the server behind the pooler."""
    with Server.running(bindir(), conf=CONF) as server:
        yield server


@pytest.fixture
def bouncer(behind: Server) -> Iterator[Bouncer]:
    """Return the pooler, or skip where it is not installed."""
    with bouncing(behind) as running:
        yield running


@pytest.fixture
def loads(behind: Server, bouncer: Bouncer) -> Iterator[list[Load]]:
    """Return four pools' clients, each of which has been served."""
    settings = {
        "connection_settings": behind.keywords(port=bouncer.port),
        "pool_settings": {"min_size": 2, "max_size": 4, "timeout": 60},
        "pooler": "pgbouncer",
    }
    with ExitStack() as stack:
        made = [
            stack.enter_context(Load(behind.sql, stack.enter_context(opened(settings))))
            for opened in POOLS
        ]
        for load in made:
            load.everybody()
        yield made


def test_nobody_meets_the_statements_of_others(loads: list[Load]) -> None:
    """What one pool's transaction leaves on a server's connection is not in another's way."""
    for load in loads:
        while len(load.attempts) < ENOUGH:
            load.everybody(load.success())
    for load in loads:
        load.stop()
        assert load.errors() == []
        assert load.reckon().wrong == ()


def test_a_pooler_that_dies(loads: list[Load], bouncer: Bouncer) -> None:
    """All pools find the new one, and nothing is lost."""
    bouncer.stop()
    for load in loads:
        load.failure()
    bouncer.start()
    go_on(loads, monotonic())


def test_a_server_that_restarts_behind_it(loads: list[Load], behind: Server) -> None:
    """The pooler lets everybody wait for the server, and nothing is lost."""
    behind.stop()
    behind.launch()
    go_on(loads, answering(behind))


def go_on(loads: list[Load], since: float) -> None:
    """Wait until every client of every pool is served again; then nothing is lost."""
    for load in loads:
        load.everybody(since)
        load.stop()
        assert load.reckon().wrong == ()
