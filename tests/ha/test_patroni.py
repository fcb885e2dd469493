"""A Patroni cluster of three, while clients write through one pool."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

import pytest
from tests.faults.ledger import Load
from tests.faults.rows import BOTH
from tests.faults.subjects import KINDS
from tests.ha.patroni import Cluster, Node, cluster
from tests.servers import PASSWORD, SUPERUSER

pytestmark = pytest.mark.ha
CLIENTS = 8
WITHIN = 5.0  # seconds from the new leader's first word to the first acknowledged transaction


@pytest.fixture
def patroni() -> Iterator[Cluster]:
    """Return a cluster; skip where Patroni or etcd is not installed."""
    with cluster() as made:
        yield made


def settings(patroni: Cluster) -> dict[str, dict[str, object]]:
    """Return settings that lead to the leader, whichever node that is."""
    return {
        "connection_settings": {
            "host": ",".join("127.0.0.1" for _ in patroni.nodes),
            "port": ",".join(str(node.port) for node in patroni.nodes),
            "user": SUPERUSER,
            "password": PASSWORD,
            "dbname": "postgres",
            "target_session_attrs": "read-write",
            "connect_timeout": 3,
        },
        "pool_settings": {"min_size": 4, "max_size": 8, "timeout": 60},
    }


def goes_on(load: Load, patroni: Cluster, before: Node) -> None:
    """Wait for another leader; then each client is served again, soon, and nothing is lost."""
    load.truth(leader_sql := patroni.leader(but=before).sql)
    assert leader_sql("SELECT pg_is_in_recovery()") == [(False,)]
    seen = monotonic()
    assert load.success(seen) - seen <= WITHIN
    load.everybody(seen)
    load.stop()
    assert load.reckon().wrong == ()


@pytest.mark.parametrize("kind", BOTH)
def test_a_switchover(patroni: Cluster, kind: str) -> None:
    """The leader hands over, and every acknowledged row is there once."""
    before = patroni.leader()
    with KINDS[kind](settings(patroni)) as borrow, Load(before.sql, borrow, CLIENTS) as load:
        load.everybody()
        patroni.switch_over(before)
        goes_on(load, patroni, before)


@pytest.mark.parametrize("kind", BOTH)
def test_a_killed_leader(patroni: Cluster, kind: str) -> None:
    """The leader dies with its server, and every acknowledged row is there once."""
    before = patroni.leader()
    with KINDS[kind](settings(patroni)) as borrow, Load(before.sql, borrow, CLIENTS) as load:
        load.everybody()
        before.kill()
        goes_on(load, patroni, before)
