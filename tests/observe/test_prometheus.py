"""The metrics that Prometheus's own library shows of real pools."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from tests.connect.conftest import Make, settings
from tests.servers import Server

from pgstrata import ConnectionFailedError, PGConnectionManager
from pgstrata.observe.prometheus import PoolCollector

LABELS = {"pool": "test/default", "type": "pool"}


@pytest.fixture
def manager(make: Make, server: Server) -> PGConnectionManager:
    """Return a manager with pools of one connection."""
    return make(settings(server), pool_settings={"min_size": 1, "max_size": 1})


@pytest.fixture
def registry(manager: PGConnectionManager) -> CollectorRegistry:
    """Return a registry with the pools of the manager."""
    registry = CollectorRegistry()
    registry.register(PoolCollector(manager))
    return registry


def test_values_are_those_of_the_pool(
    manager: PGConnectionManager, registry: CollectorRegistry
) -> None:
    """Levels and histograms are as ``stats`` has them at the moment of the question."""
    with manager.pool():
        used = registry.get_sample_value("pgstrata_pool_connections", {**LABELS, "state": "used"})
        assert used == 1
    with manager.pool():
        pass
    count = registry.get_sample_value("pgstrata_pool_use_seconds_count", LABELS)
    ever = registry.get_sample_value("pgstrata_pool_use_seconds_bucket", {**LABELS, "le": "+Inf"})
    seconds = registry.get_sample_value("pgstrata_pool_use_seconds_sum", LABELS)
    assert (count, ever) == (2, 2)
    assert seconds == manager.stats().pools[0].use.seconds
    assert registry.get_sample_value("pgstrata_pool_max_size", LABELS) == 1


def test_errors_have_their_kind(make: Make, server: Server) -> None:
    """A refused password is counted as that."""
    manager = make(settings(server, password="not-the-password"))
    registry = CollectorRegistry()
    registry.register(PoolCollector(manager))
    with pytest.raises(ConnectionFailedError), manager.pool():
        pass
    labels = {**LABELS, "kind": "refused"}
    assert registry.get_sample_value("pgstrata_pool_errors_total", labels) == 1


def test_the_text_can_be_read(manager: PGConnectionManager, registry: CollectorRegistry) -> None:
    """Buckets are cumulative, and every family has a help text."""
    with manager.pool():
        pass
    text = generate_latest(registry).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert all(family.documentation for family in families.values())
    buckets = [s.value for s in families["pgstrata_pool_wait_seconds"].samples if "le" in s.labels]
    assert buckets == sorted(buckets)
    assert buckets[-1] == 1


def test_the_same_names_are_registered_once(
    manager: PGConnectionManager, registry: CollectorRegistry
) -> None:
    """Two collectors with the same names in one registry would be a broken page."""
    with pytest.raises(ValueError, match="Duplicated"):
        registry.register(PoolCollector(manager))


def test_pools_without_an_environment_are_told_apart(server: Server, database: str) -> None:
    """Those of files and dictionaries are named by where they lead; equal names are numbered."""
    managers = [PGConnectionManager() for _ in range(2)]
    sizes = {"min_size": 0, "max_size": 1}
    for manager, dbnames in zip(managers, (("postgres", database), (database,)), strict=True):
        for dbname in dbnames:
            data = {"connection_settings": settings(server, dbname), "pool_settings": sizes}
            manager.get_database_connection_from_dict(data, "pool")
    registry = CollectorRegistry()
    registry.register(PoolCollector(*managers))
    (family,) = (f for f in registry.collect() if f.name == "pgstrata_pool_max_size")
    where = f"{server.host}:{server.port}"
    assert [sample.labels["pool"] for sample in family.samples] == [
        f"postgres@{where}",
        f"{database}@{where}",
        f"{database}@{where} (2)",
    ]
