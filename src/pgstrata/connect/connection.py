"""psycopg's connections, made from a Conninfo: secrets are revealed inside ``connect`` and nowhere
else.

A failed attempt is raised as a new error of the same kind, when the frames that held the password
are gone: psycopg's own error keeps libpq's connection object, and its traceback the keywords, which
any reporter of locals would print. For the same reason an interruption loses the part of its
traceback that is psycopg's.

A secret may be rotated between reading it and using it. So an attempt that failed is made once more
where a secret has changed meanwhile, before anybody is told of the failure. That is asked after any
failure: in which words a server refuses a password depends on its language.

A connection of a pool is made with ``home``, the way to its pool, whose outage decides when the
next attempt is made: a worker of the pool waits here for as long as the server cannot be reached,
so that psycopg_pool's own distances between attempts, which grow with the outage, play no part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias

import psycopg
from psycopg import rows
from psycopg.abc import PQGen
from psycopg.errors import ReadOnlySqlTransaction
from psycopg.pq import TransactionStatus
from psycopg_pool import ConnectionPool, PoolClosed

from pgstrata.connect.attempt import (
    arguments,
    connect_timeout,
    in_time,
    returned,
    set_config,
    start_local,
)
from pgstrata.connect.cancelling import CANCEL_SECONDS, cancel
from pgstrata.connect.conninfo import Conninfo
from pgstrata.connect.deadline import within
from pgstrata.connect.failure import DeadlineError, connection_failed, scrubbed
from pgstrata.connect.resolution import resolved
from pgstrata.connect.state import State, meet_read_only
from pgstrata.errors import PgstrataError

if TYPE_CHECKING:
    from typing_extensions import LiteralString

    from pgstrata.connect.pool import Pool

Home: TypeAlias = "Callable[[], Pool | None]"

CHECK_SECONDS = 2.0  # for the answer to an empty query


class Connection(psycopg.Connection[rows.TupleRow]):
    """A psycopg connection that is made from a Conninfo. ``state`` is for its pool; ``deadline`` is
    how many seconds the server has to answer, or None.
    """

    state: State
    deadline: float | None = None

    @classmethod
    def connect(  # type: ignore[override]  # the time-out that a pool adds is in made_with too
        cls, _conninfo: str = "", *, made_with: Conninfo, home: Home | None = None, **_: Any
    ) -> Connection:
        """Connect. Raises ``ConnectionFailedError`` with psycopg's error as its cause; for a pool,
        only when it is closed, or there is no hope.
        """
        pool = home() if home is not None else None
        if pool is None:
            return cls._connect(made_with)
        while True:
            while pause := pool.outage.turn():
                if pool.stopping.wait(pause):
                    raise PoolClosed(f"the pool {pool.name!r} is closed")
            try:
                began = monotonic()
                connection = cls._connect(made_with)
            except PgstrataError as error:
                pool.outage.failed(error, pool.get_stats())
                if pool.outage.hopeless() or pool.stopping.is_set():
                    raise
            else:
                pool.outage.over()
                pool.meter.connected(monotonic() - began)
                pool.saw(connection.state.secrets)
                return connection

    @classmethod
    def _connect(cls, made_with: Conninfo) -> Connection:
        local = start_local(made_with) if made_with.local else {}
        taken = made_with.taken()
        result = cls._attempt(taken, local)
        if isinstance(result, Exception) and (changed := made_with.taken()) != taken:
            result = cls._attempt(changed, local)
        return returned(result, made_with)

    @classmethod
    def _attempt(cls, taken: Conninfo, local: Mapping[str, str]) -> Connection | Exception:
        """Return a connection, or the error without the frames that held the password."""
        try:
            connection = super().connect(**resolved(arguments(taken, local)))
            try:
                connection.state = State(taken, connection)
                connection.deadline = connect_timeout(taken)
                if taken.session:
                    connection.execute(*set_config(taken.session), prepare=False)
                connection.autocommit = taken.autocommit
                connection.state.touched = False
                connection.deadline = taken.deadline
            except BaseException:
                connection.close()
                raise
        except Exception as error:  # noqa: BLE001  # whatever it is, it must not carry the password
            return scrubbed(in_time(error), taken)
        except BaseException as interruption:  # noqa: BLE001  # psycopg's frames, as above
            raise interruption.with_traceback(None) from None
        return connection

    def ask(self, query: LiteralString) -> rows.TupleRow | None:
        """Return the first row of what has to be answered within ``connect_timeout``. Raises
        ``ConnectionFailedError``.
        """
        taken = self.state.secrets
        self.deadline = connect_timeout(taken)
        try:
            return self.execute(query).fetchone()
        except psycopg.Error as error:
            failure = scrubbed(in_time(error), taken)
        finally:
            self.deadline = taken.deadline
        raise connection_failed(taken, failure) from failure

    def wait(self, gen: PQGen[Any], *arguments: Any, **options: Any) -> Any:
        """Do as psycopg does, until the deadline of the connection, if it has one. Whatever the
        program makes of an error, what it tells of the server is noted here.
        """
        if self.deadline is not None:
            gen = within(self.deadline, gen, self.pgconn)
        try:
            return super().wait(gen, *arguments, **options)
        except DeadlineError:
            self.pgconn.finish()
            raise
        except ReadOnlySqlTransaction:
            meet_read_only(self)
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Commit or roll back. A query that the program's end interrupts is cancelled, as it would
        run on without anybody to take its result; and a server that is silent does not delay the
        end.
        """
        given = self.deadline
        if isinstance(error, SystemExit):
            cancel([self])
            self.deadline = CANCEL_SECONDS
        try:
            super().__exit__(kind, error, trace)
        finally:
            self.deadline = given

    def answers(self) -> bool:
        """Tell whether the server answers soon; if not, the connection is closed."""
        given, self.deadline = self.deadline, CHECK_SECONDS
        try:
            ConnectionPool.check_connection(self)
        except psycopg.Error:
            self.close()
            return False
        finally:
            self.deadline = given
        self.state.used_at = monotonic()
        return True

    def set_autocommit(self, value: bool) -> None:  # noqa: FBT001  # as psycopg's own
        """Do as psycopg does, and remember that it must be undone."""
        self.state.touched = True
        super().set_autocommit(value)

    def set_isolation_level(self, value: psycopg.IsolationLevel | None) -> None:
        """Do as psycopg does, and remember that it must be undone."""
        self.state.touched = True
        super().set_isolation_level(value)

    def set_read_only(self, value: bool | None) -> None:  # noqa: FBT001  # as psycopg's own
        """Do as psycopg does, and remember that it must be undone."""
        self.state.touched = True
        super().set_read_only(value)

    def set_deferrable(self, value: bool | None) -> None:  # noqa: FBT001  # as psycopg's own
        """Do as psycopg does, and remember that it must be undone."""
        self.state.touched = True
        super().set_deferrable(value)

    def restore(self) -> None:
        """Undo what a borrower changed on this side of the connection; close it if that fails."""
        try:
            if self.pgconn.transaction_status != TransactionStatus.IDLE:
                self.rollback()
            self.autocommit = self.state.autocommit
            self.isolation_level = self.read_only = self.deferrable = None
        except psycopg.Error:
            self.close()
        self.row_factory = self.state.row_factory
        self.cursor_factory = self.state.cursor_factory
        self.state.touched = False
