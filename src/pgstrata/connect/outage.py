"""What the attempts to connect of one handle know of each other while its server does not answer.

psycopg_pool tries each lost connection for itself, at growing distances: after an outage of 20 s
that is another 9 s without connections, and a server that refuses a password is asked by each of
them. Here an outage is one thing: the next attempt is made soon, whoever makes it, and what the
server refused is not asked again for a while.

A pool exists only after a first connection was made. So when it is refused later, what it connects
with was right a moment ago, and most likely will be again: a rotated password is on its way to its
store, a certificate is being renewed. Its callers wait, as for a server that is away. Only a
refusal that lasts is told to them at once.

While all is well, workers connect side by side. When a connection was lost, or nobody has connected
for a while, one of them goes first, and the others wait for what comes of it: a server that refuses
is not asked by each of them.

All times are of ``time.monotonic``, in seconds. Nothing here waits, so it serves threads and event
loops alike.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from time import monotonic

from pgstrata.connect.failure import Kind, again, kind
from pgstrata.connect.meter import Meter
from pgstrata.errors import PgstrataError

COOL_DOWN = 1.0  # after a refusal, and for the result of who goes first
PROVEN = 0.5  # after a success, others need not wait for each other
LOOK = 0.01  # between two looks at what came of it
PASSING = 60.0  # a refusal may last; a secret that is mounted as a file takes about as long to come
QUIET = 60.0  # between two warnings: at a server's limit, attempts fail and succeed in turns
PAUSES = (0.1, 0.2, 0.4)  # between attempts to reach a server; the last one for all that follow

logger = logging.getLogger("pgstrata.connect")


class Outage:
    """``failure`` is the last attempt's, or None while there is no outage. ``patience`` is for how
    long a pool goes on trying to replace a connection; ``meter`` counts what fails.
    """

    def __init__(self, name: str, patience: float, meter: Meter) -> None:
        self.name = name
        self.meter = meter
        self.failure: PgstrataError | None = None
        self._patience = patience
        self._kind: Kind = "unreachable"
        self._began = self._refused = self._next = 0.0
        self._succeeded = -PROVEN
        self._lock = threading.Lock()
        self._warned = -QUIET
        self._pauses = iter(PAUSES)

    def turn(self) -> float:
        """Take the turn for an attempt, or return how many seconds it must wait.

        Raises ``ConnectionFailedError`` between the attempts when a refusal has lasted.
        """
        with self._lock:
            failure, now = self.failure, monotonic()
            if failure is None and now - self._succeeded < PROVEN:
                return 0.0
            wait = self._next - now
            if wait <= 0:
                self._postpone()
                return 0.0
        if failure is None:
            return min(wait, LOOK)
        if self._kind == "refused" and self.hopeless():
            raise again(failure)
        return wait

    def failed(self, error: PgstrataError, stats: Mapping[str, int] | None = None) -> Kind:
        """Take note of an attempt that failed, and return why it did. ``stats`` are those of the
        pool that wanted the connection; it goes on trying, which is said now and then.
        """
        now, before = monotonic(), self._kind if self.failure else None
        if before is None:
            self._began, self._pauses = now, iter(PAUSES)
        self._kind = kind(error.__cause__ or error)
        if self._kind == "refused" and before != "refused":
            self._refused = now
        self.failure = again(error)
        self.meter.failed(self._kind, error)
        if stats is not None and now - self._warned > QUIET:
            self._warned = now
            logger.warning(
                "pool %s has %d connections of at least %d, and tries to connect until it can: %s",
                *(self.name, stats["pool_available"], stats["pool_min"], error),
            )
        self._postpone()
        return self._kind

    def hopeless(self) -> bool:
        """Tell whether a pool gives up replacing a connection: until somebody asks for it again."""
        if self._kind == "refused":
            return monotonic() - self._refused > min(PASSING, self._patience)
        return monotonic() - self._began > self._patience

    def over(self) -> None:
        """Take note of an attempt that succeeded."""
        self._succeeded, self._next = monotonic(), 0.0
        if self.failure is not None:
            self.failure = None
            logger.info("%s is reached again after %.1f s", self.name, monotonic() - self._began)

    def doubt(self) -> None:
        """Take note of a connection that was lost: the server may be another than it was."""
        self._succeeded = -PROVEN

    def _postpone(self) -> None:
        waits = self.failure is None or self._kind == "refused"
        self._next = monotonic() + (COOL_DOWN if waits else next(self._pauses, PAUSES[-1]))
