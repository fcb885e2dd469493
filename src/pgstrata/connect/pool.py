"""psycopg_pool's pool, in good health: what it gives out works, as far as can be known at no cost.

``getconn`` and ``putconn`` are the one place that every borrowed connection passes.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

from psycopg_pool import ConnectionPool, PoolTimeout, TooManyRequests
from psycopg_pool.pool import WaitingClient

from pgstrata.connect.connection import Connection
from pgstrata.connect.conninfo import Conninfo
from pgstrata.connect.failure import PoolTimeoutError, again, pool_timeout
from pgstrata.connect.leaks import Leaks, LeakWatch, Loan, holder
from pgstrata.connect.meter import QUICK
from pgstrata.connect.outage import Outage
from pgstrata.connect.plan import Plan
from pgstrata.connect.state import changed
from pgstrata.connect.upkeep import Upkeep, period

if TYPE_CHECKING:
    from pgstrata.connect.async_pool import AsyncPool

TRUSTED = 0.5  # seconds for which a connection is taken to live on after it was used
CLOSING = 0.5  # seconds to wait for the workers


class Pool(ConnectionPool[Any]):
    """A pool that tests what idled, and replaces all when one is found dead or on a server that
    turned read-only.

    ``in_use`` has what is borrowed, since when, and by whom if ``leaks`` wants to know; ``outage``
    the state of the attempts to connect; ``stopping`` is set when the pool is closed.
    """

    def __init__(self, plan: Plan, outage: Outage) -> None:
        self.made_with = plan.conninfo
        self.outage = outage
        self.meter = outage.meter
        self._wait, self._use = outage.meter.wait, outage.meter.use
        self.stopping = threading.Event()
        self.in_use: dict[Connection, Loan] = {}
        threshold = plan.leak_threshold
        self.leaks = Leaks(plan.name, threshold) if threshold else None
        self.secrets: Conninfo | None = None
        self._trusted = -1.0 if plan.check else TRUSTED
        self._drained = 0.0
        self._draining = threading.Lock()
        super().__init__(
            connection_class=Connection,
            kwargs={"made_with": plan.conninfo, "home": weakref.ref(self)},
            open=False,
            reconnect_timeout=0,  # Connection.connect itself goes on trying
            reconnect_failed=_gave_up,
            **plan.pool_options,
        )

    def start(self) -> None:
        """Open the pool, and begin its upkeep."""
        self.open()
        self.schedule_task(Upkeep(self), period(self.max_lifetime))
        if self.leaks is not None:
            self.schedule_task(LeakWatch(self), self.leaks.period)

    def getconn(self, timeout: float | None = None) -> Connection:
        """Borrow a connection. One that idled is tested first."""
        began = monotonic()
        try:
            connection: Connection = ConnectionPool.getconn(self, timeout)
            now = monotonic()
            if now - connection.state.used_at > self._trusted:
                connection = self._tested(connection, now + (timeout or self.timeout))
                now = monotonic()
        except PoolTimeout:
            self.meter.count("timeout")
            late = timed_out(self, timeout)
            raise late from late.__cause__
        except TooManyRequests:
            self.meter.count("full")
            raise
        except BaseException as interrupt:
            if not isinstance(interrupt, Exception):
                _withdraw(self, interrupt)
            raise
        self.in_use[connection] = (now, None if self.leaks is None else holder())
        wait = self._wait
        waited = now - began
        wait.seconds += waited
        if waited <= QUICK and not wait.listeners:
            wait.quick += 1
        else:
            wait.add(waited)
        return connection

    def putconn(self, connection: Connection) -> None:
        """Give a connection back, as it was made."""
        now = monotonic()
        loan = self.in_use.pop(connection, (now, None))
        held = now - loan[0]
        use = self._use
        use.seconds += held
        if held <= QUICK and not use.listeners:
            use.quick += 1
        else:
            use.add(held)
        if self.leaks is not None and self.leaks.reported:
            self.leaks.returned(connection, loan)
        if changed(connection):
            if connection.state.misplaced:
                self.drain_once(connection)
            connection.restore()
        connection.state.used_at = now
        ConnectionPool.putconn(self, connection)

    def _tested(self, connection: Connection, until: float) -> Connection:
        """Return this connection if it lives, or another one that does."""
        while self._is_dead(connection):
            self.lost()
            self.drain_once(connection)
            super().putconn(connection)
            connection = super().getconn(max(until - monotonic(), 0.001))
            if monotonic() - connection.state.used_at <= TRUSTED:
                break
        return connection

    def _is_dead(self, connection: Connection) -> bool:
        try:
            return not connection.answers()
        except BaseException:  # Ctrl-C must not lose the connection
            super().putconn(connection)
            raise

    def lost(self) -> None:
        """Take note of a connection that broke."""
        self.meter.lost()
        self.outage.doubt()

    def drain_once(self, connection: Connection) -> None:
        """Replace all connections, for what was found out about one of them; not again for another
        that is as old.
        """
        with self._draining:
            if connection.state.made_at > self._drained:
                self._drained = monotonic()
                self.outage.doubt()
                self.drain()

    def drain(self) -> None:
        """Replace all connections: idle ones now, borrowed ones as they come back."""
        self.meter.drained(self.get_stats()["pool_size"])
        super().drain()

    def saw(self, secrets: Conninfo) -> None:
        """Take note of the secrets that a connection was made with. If they are new, the older
        connections are replaced.
        """
        before, self.secrets = self.secrets, secrets
        if before is not None and before != secrets:
            self.drain()

    def close(self, timeout: float = CLOSING) -> None:
        """Close the pool: idle connections now, borrowed ones as they come back. Wait for its
        workers, so many seconds for all of them.

        Those that hang in an attempt to connect are not spoken of: they are daemon threads.
        """
        self.stopping.set()
        until = monotonic() + timeout
        workers = [*self._workers, self._sched_runner]
        with _quiet():
            super().close(timeout=0)
        for worker in workers:
            if worker is not None:
                worker.join(max(until - monotonic(), 0))


def _gave_up(pool: ConnectionPool[Any]) -> None:
    """Tell those who wait why they get no connection, if none is left that could be given to them.

    psycopg_pool would let them wait until their time is over.
    """
    assert isinstance(pool, Pool)
    failure = pool.outage.failure
    if failure is None or pool.get_stats()["pool_size"]:
        return
    with pool._lock:  # noqa: SLF001  # there is no public way out of the queue
        waiting = list(pool._waiting)  # noqa: SLF001  # as above
        pool._waiting.clear()  # noqa: SLF001  # as above
    for place in waiting:
        place.fail(again(failure))


def timed_out(pool: Pool | AsyncPool, seconds: float | None) -> PoolTimeoutError:
    """Return the error for a caller that got no connection in so many seconds, or those of the
    pool.
    """
    waited = pool.timeout if seconds is None else seconds
    return pool_timeout(pool.name, waited, pool.get_stats(), pool.outage.failure)


def _withdraw(pool: Pool, interrupt: BaseException) -> None:
    """Leave the pool's queue, whose place would be given a connection that nobody takes.

    psycopg_pool does this for an ``Exception`` only. The place is found in the interrupted frame.
    """
    gone = PoolTimeout("interrupted")
    for frame, _ in walk_tb(interrupt.__traceback__):
        place = frame.f_locals.get("self")
        if isinstance(place, WaitingClient) and not place.fail(gone) and place.conn:
            place.conn._pool = pool  # noqa: SLF001  # as getconn does before it gives one out
            ConnectionPool.putconn(pool, place.conn)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what this thread makes psycopg_pool log from the log."""
    here = threading.get_ident()
    logger = logging.getLogger("psycopg.pool")

    def from_others(record: logging.LogRecord) -> bool:
        return record.thread != here

    logger.addFilter(from_others)
    try:
        yield
    finally:
        logger.removeFilter(from_others)
