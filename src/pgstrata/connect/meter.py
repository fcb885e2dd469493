"""What one handle counts: how long was waited for connections and they were used, and what failed.

It counts at each checkout, so it does little more than add; ``connect.stats`` makes values of it.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

# Seconds: those that the semantic conventions of OpenTelemetry advise for db.client.* durations.
BOUNDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
QUICK = BOUNDS[0]

Duration: TypeAlias = Literal["wait", "use", "create"]
Listener: TypeAlias = Callable[[Duration, "Pooled", float], None]


class Pooled(NamedTuple):
    """Whose durations these are. Pools of both types may have the same name."""

    name: str
    connection_type: Literal["pool", "async_pool"]


class Meter:
    """Counts of one handle since it was made; those of all its pools are added up.

    ``listeners``, to which more may be added, are called with each duration, in seconds, in the
    thread that it was measured in.
    """

    def __init__(self, pooled: Pooled, listeners: list[Listener]) -> None:
        self.wait = Durations("wait", pooled, listeners)
        self.use = Durations("use", pooled, listeners)
        self.create = Durations("create", pooled, listeners)
        self.errors: Counter[str] = Counter()
        self.reconnects = 0
        self.last_error, self.last_error_at = "", 0.0
        self._to_replace = 0
        self._lock = threading.Lock()

    def failed(self, kind: str, error: BaseException) -> None:
        """Count an attempt to connect that failed, by its kind."""
        with self._lock:
            self.errors[kind] += 1
            self.last_error, self.last_error_at = str(error), time.time()

    def count(self, kind: str) -> None:
        """Count what went wrong for a reason that is not known here."""
        with self._lock:
            self.errors[kind] += 1

    def lost(self) -> None:
        """Count a connection that broke while somebody used it, or was found dead."""
        with self._lock:
            self.errors["lost"] += 1
            self._to_replace += 1

    def drained(self, connections: int) -> None:
        """Take note that so many connections of a pool are going to be replaced."""
        with self._lock:
            self._to_replace = max(self._to_replace, connections)

    def connected(self, seconds: float) -> None:
        """Count a connection that a pool made."""
        with self._lock:
            replaces = self._to_replace > 0
            self._to_replace -= replaces
            self.reconnects += replaces
        self.create.seconds += seconds
        self.create.add(seconds)


class Durations:
    """A histogram: ``counts[i]`` of those up to ``BOUNDS[i]``, in the end of those beyond.

    Those up to ``QUICK`` may be counted in ``quick`` instead, and all are added to ``seconds``, by
    the caller: a call costs more than the addition, and at a checkout that is most of the cost. No
    lock is needed for that, as Python changes threads at calls and jumps only.
    """

    __slots__ = ("_lock", "_slow", "kind", "listeners", "pooled", "quick", "seconds")

    def __init__(self, kind: Duration, pooled: Pooled, listeners: list[Listener]) -> None:
        self.kind: Duration = kind
        self.pooled = pooled
        self.listeners = listeners
        self.quick = 0
        self.seconds = 0.0
        self._slow = [0] * (len(BOUNDS) + 1)
        self._lock = threading.Lock()

    @property
    def counts(self) -> tuple[int, ...]:
        """The counts at this moment."""
        first, *others = self._slow
        return (first + self.quick, *others)

    def add(self, seconds: float) -> None:
        """Count one, and tell the listeners."""
        with self._lock:
            self._slow[bisect_left(BOUNDS, seconds)] += 1
        for listener in self.listeners:
            listener(self.kind, self.pooled, seconds)
