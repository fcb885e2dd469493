"""What the attempts to connect of one handle know of each other while its server does not answer.

psycopg_pool tries each lost connection for itself, at growing distances: after an outage of 20 s
that is another 9 s without connections, and a server that refuses a password is asked by each of
them. Here an outage is one thing: the next attempt is made soon, whoever makes it, and what the
server refused is not asked again for a while.

All times are of ``time.monotonic``, in seconds. Nothing here waits, so it serves threads and event
loops alike. Two threads that take the same turn by chance make one attempt too many, which is no
reason for a lock.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from time import monotonic

from pgstrata.connect.failure import Kind, again, kind
from pgstrata.connect.meter import Meter
from pgstrata.errors import PgstrataError

COOL_DOWN = 1.0  # after a refusal
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
        self._began = self._next = 0.0
        self._warned = -QUIET
        self._pauses = iter(PAUSES)

    def turn(self) -> float:
        """Take the turn for an attempt, or return how many seconds it must wait.

        Raises ``ConnectionFailedError`` as long as a refusal is not asked again.
        """
        failure = self.failure
        if failure is None:
            return 0.0
        wait = self._next - monotonic()
        if wait <= 0:
            self._postpone()
            return 0.0
        if self._kind == "refused":
            raise again(failure)
        return wait

    def failed(self, error: PgstrataError, stats: Mapping[str, int] | None = None) -> Kind:
        """Take note of an attempt that failed, and return why it did. ``stats`` are those of the
        pool that wanted the connection; it goes on trying, which is said now and then.
        """
        if self.failure is None:
            self._began, self._pauses = monotonic(), iter(PAUSES)
        self.failure = again(error)
        self._kind = kind(error.__cause__ or error)
        self.meter.failed(self._kind, error)
        silence = monotonic() - self._warned
        if stats is not None and self._kind != "refused" and silence > QUIET:
            self._warned = monotonic()
            logger.warning(
                "pool %s has %d connections of at least %d, and tries to connect until it can: %s",
                *(self.name, stats["pool_available"], stats["pool_min"], error),
            )
        self._postpone()
        return self._kind

    def hopeless(self) -> bool:
        """Tell whether a pool gives up replacing a connection: until somebody asks for it again."""
        return self._kind == "refused" or monotonic() - self._began > self._patience

    def over(self) -> None:
        """Take note of an attempt that succeeded."""
        if self.failure is not None:
            self.failure = None
            logger.info("%s is reached again after %.1f s", self.name, monotonic() - self._began)

    def _postpone(self) -> None:
        pause = COOL_DOWN if self._kind == "refused" else next(self._pauses, PAUSES[-1])
        self._next = monotonic() + pause
