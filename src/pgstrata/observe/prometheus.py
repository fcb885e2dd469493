"""Metrics of pools for Prometheus. Needs the extra ``binary`` or ``prometheus``.

All is read when it is asked for, so it costs a checkout nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from pgstrata.connect.stats import Histogram, PoolStats, distinct

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from pgstrata.connect.manager import PGConnectionManager

__all__ = ["PoolCollector"]

_POOL = ("pool", "type")
_LEVELS = {
    "min_size": "Connections kept open.",
    "max_size": "Most connections.",
    "waiting": "Callers that wait for a connection.",
    "leaked": "Connections held for longer than leak_threshold.",
}
_DURATIONS = {
    "wait": "Seconds that callers waited for a connection.",
    "use": "Seconds between borrowing a connection and giving it back.",
    "create": "Seconds that it took to make a connection.",
}


class PoolCollector(Collector):
    """The pools of managers: ``REGISTRY.register(PoolCollector(manager))``. A registry takes one
    collector; several managers share it.
    """

    def __init__(self, *managers: PGConnectionManager) -> None:
        self._managers = managers

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics as they are now."""
        pools = [pool for manager in self._managers for pool in manager.stats().pools]
        return _metrics(distinct(pools))

    def describe(self) -> Iterator[Metric]:
        """Yield the names, so that registering another collector with one of them is refused."""
        return _metrics(())


def _metrics(pools: tuple[PoolStats, ...]) -> Iterator[Metric]:
    yield _connections(pools)
    for name, about in _LEVELS.items():
        gauge = GaugeMetricFamily(f"pgstrata_pool_{name}", about, labels=_POOL)
        for pool in pools:
            gauge.add_metric(_labels(pool), getattr(pool, name))
        yield gauge
    for name, about in _DURATIONS.items():
        yield _histogram(name, about, pools)
    yield from _counters(pools)


def _connections(pools: tuple[PoolStats, ...]) -> Metric:
    gauge = GaugeMetricFamily(
        "pgstrata_pool_connections", "Open connections by state.", labels=(*_POOL, "state")
    )
    for pool in pools:
        for state in ("idle", "used"):
            gauge.add_metric([*_labels(pool), state], getattr(pool, state))
    return gauge


def _counters(pools: tuple[PoolStats, ...]) -> Iterator[Metric]:
    errors = CounterMetricFamily("pgstrata_pool_errors", "Errors by kind.", labels=(*_POOL, "kind"))
    reconnects = CounterMetricFamily(
        "pgstrata_pool_reconnects", "Connections made in place of others.", labels=_POOL
    )
    for pool in pools:
        for kind, count in pool.errors.items():
            errors.add_metric([*_labels(pool), kind], count)
        reconnects.add_metric(_labels(pool), pool.reconnects)
    yield errors
    yield reconnects


def _histogram(name: str, about: str, pools: tuple[PoolStats, ...]) -> Metric:
    family = HistogramMetricFamily(f"pgstrata_pool_{name}_seconds", about, labels=_POOL)
    for pool in pools:
        durations: Histogram = getattr(pool, name)
        bounds = [*map(str, durations.bounds), "+Inf"]
        buckets = list(zip(bounds, accumulate(durations.counts), strict=True))
        family.add_metric(_labels(pool), buckets, durations.seconds)
    return family


def _labels(pool: PoolStats) -> list[str]:
    return [pool.name, pool.connection_type]
