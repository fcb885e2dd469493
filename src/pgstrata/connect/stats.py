"""What ``manager.stats()`` returns: values that stay as they were when they were taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from pgstrata.connect.async_pooled import AsyncPoolHandle
from pgstrata.connect.handles import Handle
from pgstrata.connect.meter import BOUNDS, Durations
from pgstrata.connect.pooled import PoolHandle


@dataclass(frozen=True, slots=True)
class Histogram:
    """How long something took, in seconds: ``counts[i]`` times up to ``bounds[i]``, and in the end
    those beyond. ``seconds`` is the sum of all.
    """

    counts: tuple[int, ...]
    seconds: float
    bounds: tuple[float, ...] = BOUNDS

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.counts)

    @property
    def mean(self) -> float:
        """The mean in seconds; 0 without any."""
        return self.seconds / self.count if self.count else 0.0


@dataclass(frozen=True, slots=True)
class PoolStats:
    """One handle: all pools of a ``PoolHandle`` or ``AsyncPoolHandle``, which has one for each
    event loop, added up.

    ``size`` is what is open or being opened, ``used`` what is borrowed, ``idle`` what can be had at
    once, ``waiting`` how many callers are in the queue; they change one after the other, so they
    need not add up at any moment. All else counts from the making of the handle on: ``wait`` for a
    connection, ``use`` of it until it is given back, and ``create``, making one. ``reconnects`` are
    the connections made in place of others. ``leaked`` are those held for longer than
    ``leak_threshold`` right now.

    ``errors`` counts by kind: attempts to connect that were ``refused``, met a server that was
    ``busy``, or found it ``unreachable``; connections that were ``lost``; callers who ran into the
    ``timeout`` or found the queue ``full``. ``last_error`` is the message of the last attempt to
    connect that failed, ``last_error_at`` its ``time.time()``; empty and 0 if none did.
    """

    name: str
    connection_type: Literal["pool", "async_pool"]
    pools: int
    min_size: int
    max_size: int
    size: int
    idle: int
    used: int
    waiting: int
    leaked: int
    wait: Histogram
    use: Histogram
    create: Histogram
    errors: Mapping[str, int]
    reconnects: int
    last_error: str
    last_error_at: float


@dataclass(frozen=True, slots=True)
class Stats:
    """The pools of one manager, in the order in which they were first asked for."""

    pools: tuple[PoolStats, ...]


def stats(handles: Iterable[Handle]) -> Stats:
    """Return what the handles that have pools count. It waits for nobody."""
    pooled = (one for one in handles if isinstance(one, PoolHandle | AsyncPoolHandle))
    return Stats(distinct(map(_stats, pooled)))


def distinct(pools: Iterable[PoolStats]) -> tuple[PoolStats, ...]:
    """Return the pools with names that tell them apart: of several that are called the same and
    have the same type, the second is ``name (2)``.
    """
    seen: Counter[tuple[str, str]] = Counter()
    named = []
    for pool in pools:
        seen[pool.name, pool.connection_type] += 1
        number = seen[pool.name, pool.connection_type]
        named.append(pool if number == 1 else replace(pool, name=f"{pool.name} ({number})"))
    return tuple(named)


def _stats(handle: PoolHandle | AsyncPoolHandle) -> PoolStats:
    meter = handle.meter
    pools = handle.pools()
    now: list[dict[str, int]] = [pool.get_stats() for pool in pools]
    options = handle.plan.pool_options
    return PoolStats(
        name=handle.plan.name,
        connection_type=handle.connection_type,
        pools=len(pools),
        min_size=options["min_size"],
        max_size=options.get("max_size") or options["min_size"],
        size=sum(one["pool_size"] for one in now),
        idle=sum(one["pool_available"] for one in now),
        used=sum(len(pool.in_use) for pool in pools),
        waiting=sum(one["requests_waiting"] for one in now),
        leaked=sum(len(pool.leaks.reported) for pool in pools if pool.leaks is not None),
        wait=_histogram(meter.wait),
        use=_histogram(meter.use),
        create=_histogram(meter.create),
        errors=MappingProxyType(dict(meter.errors)),
        reconnects=meter.reconnects,
        last_error=meter.last_error,
        last_error_at=meter.last_error_at,
    )


def _histogram(durations: Durations) -> Histogram:
    return Histogram(durations.counts, durations.seconds)
