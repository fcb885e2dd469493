"""Clients that write while faults happen, and the reckoning with what the table holds afterwards.

Each transaction writes one row of its own. A client remembers what became of it: acknowledged, when
the block ended without an error; undone, when it failed before its COMMIT or was rolled back on
purpose; unknown, when the COMMIT may have reached the server but its answer did not arrive.
"""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, takewhile
from time import monotonic, sleep
from typing import TYPE_CHECKING, Literal, TypeAlias

from tests.faults.subjects import Borrow

if TYPE_CHECKING:
    from typing_extensions import Self

Fate: TypeAlias = Literal["acknowledged", "undone", "unknown"]
Select: TypeAlias = Callable[[str], list[tuple[str]]]
PATIENCE = 60.0  # seconds until a client that does not answer is said to hang
ERROR_PAUSE = 0.005  # after an error, as those that come at once would only fill the log
UNDO_EACH = 7  # one of so many transactions is rolled back on purpose


@dataclass(frozen=True, slots=True)
class Attempt:
    """One transaction: its row, when it began and ended (``monotonic``), its fate and its error."""

    row: str
    began: float
    ended: float
    fate: Fate
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Reckoning:
    """What is wrong with the table: rows that are missing, there twice, or should not be there."""

    lost: tuple[str, ...]
    doubled: tuple[str, ...]
    undead: tuple[str, ...]
    acknowledged: int

    @property
    def wrong(self) -> tuple[str, ...]:
        """What is wrong, in words; that nothing was written at all is wrong too."""
        problems = {
            "lost": self.lost,
            "written twice": self.doubled,
            "written though rolled back": self.undead,
        }
        words = tuple(f"{len(rows)} rows {what}" for what, rows in problems.items() if rows)
        return words if self.acknowledged else (*words, "nothing was written")


class Undo(Exception):  # noqa: N818  # it is no error
    """Raised in a block to have it rolled back."""


class Load:
    """Clients that write through ``borrow``, each in its thread, for as long as the block lasts.

    ``select`` runs a query on the server that has the truth at the end. ``pause`` are the seconds
    of a client between two transactions.
    """

    def __init__(
        self, select: Select, borrow: Borrow, clients: int = 4, pause: float = 0.0
    ) -> None:
        self.table = f"ledger_{uuid.uuid4().hex[:12]}"
        self.attempts: list[Attempt] = []
        self._select, self._borrow, self._pause = select, borrow, pause
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._client, args=(number,), daemon=True)
            for number in range(clients)
        ]

    def __enter__(self) -> Self:
        self._select(f"CREATE TABLE {self.table} (row text NOT NULL)")
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let each client end its transaction. ``AssertionError`` where one hangs."""
        self._stopping.set()
        deadline = monotonic() + PATIENCE
        for thread in self._threads:
            thread.join(max(0.0, deadline - monotonic()))
        hanging = sum(thread.is_alive() for thread in self._threads)
        assert not hanging, f"{hanging} clients hang"

    def truth(self, select: Select) -> None:
        """Name another server that has the truth at the end, as after a promotion."""
        self._select = select

    def success(self, since: float = 0.0) -> float:
        """Return when the first transaction was acknowledged after ``since``; wait for it."""
        return self._first(lambda attempt: attempt.fate == "acknowledged", since)

    def failure(self, since: float = 0.0) -> float:
        """Return when the first transaction failed after ``since``; wait for it."""
        return self._first(lambda attempt: attempt.error is not None, since)

    def told(self, wanted: Callable[[Exception], bool]) -> float:
        """Return when the first transaction failed with such an error; wait for it."""
        return self._first(lambda each: each.error is not None and wanted(each.error), 0.0)

    def everybody(self, since: float = 0.0) -> None:
        """Wait until each client has had a transaction acknowledged that began after ``since``."""

        def everybody() -> bool:
            fine = (a for a in self._after(since) if a.fate == "acknowledged" and a.began >= since)
            return len({a.row.partition("-")[0] for a in fine}) == len(self._threads)

        with self._changed:
            assert self._changed.wait_for(everybody, PATIENCE), "a client hangs"

    def errors(self, since: float = 0.0) -> list[Exception]:
        """Return the errors of the transactions that ended after ``since``."""
        return [a.error for a in self._after(since) if a.error is not None]

    def kinds(self) -> Counter[str]:
        """Return how often each kind of error was met."""
        return Counter(type(error).__name__ for error in self.errors())

    def slowest(self, since: float = 0.0) -> float:
        """Return the seconds of the longest transaction that ended after ``since``."""
        return max((a.ended - a.began for a in self._after(since)), default=0)

    def reckon(self) -> Reckoning:
        """Compare what the clients remember with what the table holds."""
        there = Counter(row for (row,) in self._select(f"SELECT row FROM {self.table}"))
        fates = {attempt.row: attempt.fate for attempt in self.attempts}
        kept = {row for row, fate in fates.items() if fate == "acknowledged"}
        return Reckoning(
            lost=tuple(kept - there.keys()),
            doubled=tuple(row for row, times in there.items() if times > 1),
            undead=tuple(row for row, fate in fates.items() if fate == "undone" and there[row]),
            acknowledged=len(kept),
        )

    def _after(self, since: float) -> Iterator[Attempt]:
        return takewhile(lambda attempt: attempt.ended >= since, reversed(self.attempts))

    def _first(self, wanted: Callable[[Attempt], bool], since: float) -> float:
        def found() -> float | None:
            return min((a.ended for a in self._after(since) if wanted(a)), default=None)

        with self._changed:
            ended = self._changed.wait_for(found, PATIENCE)
        assert ended, f"nothing of the kind in {PATIENCE:g} s; errors: {dict(self.kinds())}"
        return ended

    def _client(self, number: int) -> None:
        for serial in self._serials():
            attempt = self._write(f"{number}-{serial}", undo=serial % UNDO_EACH == 0)
            with self._changed:
                self.attempts.append(attempt)
                self._changed.notify_all()
            sleep(self._pause if attempt.error is None else max(self._pause, ERROR_PAUSE))

    def _serials(self) -> Iterator[int]:
        for serial in count(1):
            if self._stopping.is_set():
                return
            yield serial

    def _write(self, row: str, *, undo: bool) -> Attempt:
        began, error = monotonic(), None
        fate: Fate = "undone"
        try:
            with self._borrow() as session:
                session.execute(f"INSERT INTO {self.table} VALUES (%s)", (row,))
                if undo:
                    raise Undo  # noqa: TRY301 # it must leave the block as an exception
                fate = "unknown"
            fate = "acknowledged"
        except Undo:
            pass
        except Exception as failure:  # noqa: BLE001  # each is counted by its kind
            error = failure
        return Attempt(row, began, monotonic(), fate, error)
