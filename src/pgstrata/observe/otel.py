"""Metrics of pools for OpenTelemetry, by its semantic conventions for database clients
(``db.client.connection.*``, status: development). Needs the extra ``binary`` or ``otel``.

The conventions know no counters for what fails but time-outs, so those have names of pgstrata.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from opentelemetry.metrics import CallbackOptions, Observation, get_meter

from pgstrata._version import __version__
from pgstrata.connect.meter import BOUNDS, Duration, Pooled
from pgstrata.connect.stats import PoolStats

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter, MeterProvider

    from pgstrata.connect.manager import PGConnectionManager

__all__ = ["instrument"]

Measured: TypeAlias = "Iterator[tuple[int, dict[str, str]]]"

_PREFIX = "db.client.connection"


def instrument(manager: PGConnectionManager, provider: MeterProvider | None = None) -> None:
    """Have the pools of a manager measured from now on, by the given provider or the global one.

    Numbers are read when a reader collects. Durations are recorded as they happen, which costs
    some microseconds at each checkout and return. Call it once for a manager, which then lives as
    long as the provider.
    """
    meter = get_meter("pgstrata", __version__, provider)
    _observe_levels(meter, manager)
    _observe_counts(meter, manager)
    _record_durations(meter, manager)


def _observe_levels(meter: Meter, manager: PGConnectionManager) -> None:
    for name, unit, about, measure in _LEVELS:
        callbacks = [_callback(manager, measure)]
        meter.create_observable_up_down_counter(f"{_PREFIX}.{name}", callbacks, unit, about)


def _observe_counts(meter: Meter, manager: PGConnectionManager) -> None:
    for name, unit, about, measure in _COUNTS:
        meter.create_observable_counter(name, [_callback(manager, measure)], unit, about)


def _record_durations(meter: Meter, manager: PGConnectionManager) -> None:
    histograms = {
        kind: meter.create_histogram(
            f"{_PREFIX}.{kind}_time",
            "s",
            about,
            explicit_bucket_boundaries_advisory=BOUNDS,
        )
        for kind, about in _DURATIONS.items()
    }

    def record(kind: Duration, pooled: Pooled, seconds: float) -> None:
        histograms[kind].record(seconds, _attributes(pooled))

    manager.listen(record)


def _callback(
    manager: PGConnectionManager, measure: Callable[[PoolStats], Measured]
) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(_: CallbackOptions) -> Iterator[Observation]:
        for pool in manager.stats().pools:
            for value, more in measure(pool):
                yield Observation(value, {**_attributes(pool), **more})

    return observe


def _attributes(pool: PoolStats | Pooled) -> dict[str, Any]:
    return {
        "db.system.name": "postgresql",
        f"{_PREFIX}.pool.name": pool.name,
        "pgstrata.connection_type": pool.connection_type,  # both may have the same name
    }


def _by_state(pool: PoolStats) -> Measured:
    yield pool.idle, {f"{_PREFIX}.state": "idle"}
    yield pool.used, {f"{_PREFIX}.state": "used"}


def _errors(pool: PoolStats) -> Measured:
    for kind, count in pool.errors.items():
        if kind != "timeout":
            yield count, {"error.type": kind}


_LEVELS: tuple[tuple[str, str, str, Callable[[PoolStats], Measured]], ...] = (
    ("count", "{connection}", "Open connections by state.", _by_state),
    (
        "idle.min",
        "{connection}",
        "Connections kept open.",
        lambda pool: iter([(pool.min_size, {})]),
    ),
    ("idle.max", "{connection}", "Most idle ones.", lambda pool: iter([(pool.max_size, {})])),
    ("max", "{connection}", "Most open connections.", lambda pool: iter([(pool.max_size, {})])),
    ("pending_requests", "{request}", "Callers that wait.", lambda p: iter([(p.waiting, {})])),
)
_COUNTS: tuple[tuple[str, str, str, Callable[[PoolStats], Measured]], ...] = (
    (
        f"{_PREFIX}.timeouts",
        "{timeout}",
        "Callers that got no connection in time.",
        lambda pool: iter([(pool.errors.get("timeout", 0), {})]),
    ),
    ("pgstrata.connection.errors", "{error}", "Other errors by kind.", _errors),
    (
        "pgstrata.connection.reconnects",
        "{connection}",
        "Connections made in place of others.",
        lambda pool: iter([(pool.reconnects, {})]),
    ),
)
_DURATIONS: dict[Duration, str] = {
    "wait": "The time that callers waited for a connection.",
    "use": "The time between borrowing a connection and giving it back.",
    "create": "The time that it took to make a connection.",
}
