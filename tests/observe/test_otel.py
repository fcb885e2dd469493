"""The metrics that OpenTelemetry's SDK collects from real pools."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from tests.connect.conftest import Make, settings
from tests.servers import Server

from pgstrata.connect.meter import BOUNDS
from pgstrata.observe.otel import instrument

PREFIX = "db.client.connection"
POOL = {
    "db.system.name": "postgresql",
    f"{PREFIX}.pool.name": "test/default",
    "pgstrata.connection_type": "pool",
}


def collected(reader: InMemoryMetricReader) -> dict[str, Any]:
    """Return the metrics by name."""
    data = reader.get_metrics_data()
    assert data is not None
    scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics]
    assert [scope.scope.name for scope in scopes] == ["pgstrata"]
    return {metric.name: metric for metric in scopes[0].metrics}


def points(metric: Any, *, connection_type: str = "pool") -> list[Any]:
    """Return the points of the pool of a type."""
    every = list(metric.data.data_points)
    return [one for one in every if one.attributes["pgstrata.connection_type"] == connection_type]


@pytest.fixture
def reader(make: Make, server: Server) -> Any:
    """Return what has collected from a pool in use, one that timed out, and one of a loop."""
    sizes = {"min_size": 1, "max_size": 1, "timeout": 60}
    manager = make(settings(server), pool_settings=sizes, async_pool_settings=sizes)
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    instrument(manager, provider)
    handle = manager.pool()
    with handle:
        with pytest.raises(psycopg.OperationalError):
            handle.pool.getconn(timeout=0.01)
        yield reader, manager
    provider.shutdown()


def test_numbers_follow_the_conventions(reader: Any) -> None:
    """Names, units and attributes are those of the conventions, the values those of the pool."""
    metrics = collected(reader[0])
    (one,) = (p for p in points(metrics[f"{PREFIX}.count"]) if p.value)
    assert one.attributes == {**POOL, f"{PREFIX}.state": "used"}
    expected = {
        "count": "{connection}",
        "idle.min": "{connection}",
        "idle.max": "{connection}",
        "max": "{connection}",
        "pending_requests": "{request}",
        "timeouts": "{timeout}",
        "wait_time": "s",
        "create_time": "s",
    }
    there = {name: metrics[f"{PREFIX}.{name}"].unit for name in expected}
    assert there == expected
    values = {name: points(metrics[f"{PREFIX}.{name}"])[0].value for name in ("max", "timeouts")}
    assert values == {"max": 1, "timeouts": 1}


def test_durations_are_recorded(reader: Any) -> None:
    """The buckets are those that the conventions advise, and each borrowing is counted once."""
    metrics, manager = collected(reader[0]), reader[1]
    (wait,) = points(metrics[f"{PREFIX}.wait_time"])
    assert (wait.count, tuple(wait.explicit_bounds)) == (1, BOUNDS)

    async def borrow() -> None:
        async with manager.async_pool():
            pass
        await manager.clear_cache_async()

    asyncio.run(borrow())
    (use,) = points(collected(reader[0])[f"{PREFIX}.use_time"], connection_type="async_pool")
    assert use.count == 1
