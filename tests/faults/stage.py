"""Where a fault is played: a server of its own, the pool that is put under it, what is measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import psycopg
from tests.faults.ledger import PATIENCE, Load
from tests.faults.subjects import SUBJECTS, Borrow, Settings
from tests.servers import Server

SIZE = 4
# What was acknowledged survives a crash of the server, and each log-in can be counted.
CONF = "synchronous_commit = on\nlog_connections = on\n"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a fault.

    ``seconds`` is what the row's gate is about, mostly the time from the end of the fault to the
    first success. ``errors`` are those that clients saw, by kind; ``wrong`` says in words what must
    never be, such as rows that were lost.
    """

    seconds: float
    errors: Mapping[str, int] = field(default_factory=dict)
    wrong: tuple[str, ...] = ()

    @property
    def failed(self) -> int:
        """The number of errors."""
        return sum(self.errors.values())


@dataclass(slots=True)
class Stage:
    """One play of one fault: against ``subject`` (a name of SUBJECTS), on ``server``.

    ``short`` asks for the least that shows the behaviour, where the whole takes long. Temporary
    files go to ``folder``.
    """

    subject: str
    server: Server
    folder: Path
    short: bool = False

    @property
    def ours(self) -> bool:
        """Pgstrata itself is under the fault, whose settings psycopg_pool does not have."""
        return self.subject in ("pool", "async_pool")

    def settings(self, **over: Any) -> Settings:
        """Return the settings for a pool of SIZE connections, changed by ``over``."""
        given = self.server.keywords(connect_timeout=5)
        pool = {"min_size": SIZE, "max_size": SIZE, **over.pop("pool", {})}
        session = over.pop("session", {})
        return {
            "connection_settings": {**given, **over},
            "pool_settings": pool,
            **({"session_settings": session} if session else {}),
        }

    @contextmanager
    def opened(self, settings: Settings | None = None) -> Iterator[Borrow]:
        """Open the subject's pool."""
        with SUBJECTS[self.subject](settings or self.settings()) as borrow:
            yield borrow

    @contextmanager
    def loaded(
        self, settings: Settings | None = None, truth: Server | None = None, clients: int = 4
    ) -> Iterator[Load]:
        """Open the pool and have clients write through it; each has been served once."""
        with (
            self.opened(settings) as borrow,
            Load((truth or self.server).sql, borrow, clients) as load,
        ):
            load.everybody()
            yield load


def outcome(load: Load, seconds: float) -> Outcome:
    """Stop the clients, and return what came of it."""
    load.stop()
    return Outcome(seconds, load.kinds(), load.reckon().wrong)


def answering(server: Server, *, writable: bool = True) -> float:
    """Return when the server first lets somebody in, and lets them write."""
    query = b"SELECT 1 WHERE NOT pg_is_in_recovery()" if writable else b"SELECT 1"
    deadline = monotonic() + PATIENCE
    while monotonic() < deadline:
        try:
            with psycopg.connect(**server.keywords(host=str(server.directory))) as connection:
                if connection.execute(query).fetchone():
                    return monotonic()
        except psycopg.OperationalError:
            pass
        sleep(0.005)
    raise AssertionError(f"the server does not come back: {server.log_text()[-2000:]}")


def terminate(server: Server) -> None:
    """End all other sessions of clients as an administrator would; return when they are gone."""
    others = "backend_type = 'client backend' AND pid <> pg_backend_pid()"
    there = f"SELECT pid FROM pg_stat_activity WHERE {others}"
    pids = ",".join(str(pid) for (pid,) in server.sql(there)) or "0"
    server.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid IN ({pids})")
    while server.sql(f"{there} AND pid IN ({pids})"):
        sleep(0.005)
