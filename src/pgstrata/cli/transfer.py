"""What ``import``, ``export`` and ``copy`` share: the ends that data move between, how far they
are, and how a signal ends them.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pgstrata.cli.output import has_eyes, tell
from pgstrata.errors import PgstrataError, UsageError

if TYPE_CHECKING:
    import psycopg

    from pgstrata.cli.options import Session
    from pgstrata.connect.handles import NormalHandle
    from pgstrata.model import Config
    from pgstrata.tables.results import Endpoint, OnProgress, Progress

PERIOD = 10.0  # seconds between two lines of progress where nobody looks at a terminal
PATIENCE = 0.3  # seconds; what ends sooner needs no bar


@dataclass(frozen=True, slots=True)
class End:
    """One connection of one environment, or of a single file, as the command line names it."""

    config: Config
    handle: NormalHandle
    connection: str = "default"

    @property
    def environment(self) -> str:
        """The environment's name."""
        return self.config.environment

    def connect(self, stack: ExitStack) -> psycopg.Connection[Any]:
        """Return a new connection, in autocommit, which ``stack`` closes."""
        connection = stack.enter_context(self.handle.connection())
        connection.autocommit = True  # a transfer begins and ends its own transaction
        return connection

    def line(self, endpoint: Endpoint) -> str:
        """Return what a person wants to know of a server before data move."""
        from pgstrata.render import transfers

        where = f"{self.environment}: " if self.environment else ""
        return f"{where}{transfers.endpoint(endpoint)}"


def end_of(session: Session, environment: str | None, connection: str | None) -> End:
    """Return an end. Raises ``ConfigError``, or ``UsageError`` for an unknown connection."""
    from pgstrata.cli.choose import connection_of
    from pgstrata.connect.manager import PGConnectionManager

    manager = PGConnectionManager(environment, project=session.project)
    name = connection_of(manager.config, connection)
    return End(manager.config, manager.normal(name), name)


def refuse_protected(end: End, said: str | None) -> None:
    """Raise ``UsageError`` if data would go into a protected environment that was not named."""
    if end.config.get("protected") and said != end.environment:
        raise UsageError(
            f"environment {end.environment!r} is protected, and data would be written into it",
            hint=f"--yes-protected {end.environment} says that this is meant",
        )


@contextmanager
def transferring() -> Iterator[OnProgress]:
    """Yield what shows the progress of a transfer: on a terminal a bar, else a line now and then.

    A signal to end is taken for Ctrl-C meanwhile: so files are removed, and it is said what is in
    the table. What psycopg raises and nobody expected becomes a ``TransferError``.
    """
    import psycopg

    from pgstrata.tables.session import refused

    with _ending_as_interrupted(), ExitStack() as stack:
        show = stack.enter_context(_bar()) if has_eyes(sys.stderr) else lines()
        try:
            yield show
        except PgstrataError:  # of which some are psycopg's too, and have their own words and hint
            raise
        except psycopg.Error as error:
            raise refused(error, "the server refused") from error


def lines(say: Callable[[str], None] = tell, period: float = PERIOD) -> OnProgress:
    """Return what says a line every so many seconds of a transfer."""
    due = period

    def show(now: Progress) -> None:
        nonlocal due
        if now.seconds >= due:
            from pgstrata.render import transfers

            due = now.seconds + period
            say(transfers.progress(now))

    return show


@contextmanager
def _bar() -> Iterator[OnProgress]:
    """Yield what moves a bar with rows, bytes, rate and the time that is left; it comes late and
    goes at the end, so a transfer of a moment leaves the terminal as it was.
    """
    with ExitStack() as stack:
        update: Callable[..., None] | None = None

        def show(now: Progress) -> None:
            nonlocal update
            shown = {"total": now.total, "completed": now.bytes, "rows": f"{now.rows:,} rows"}
            if update is not None:
                update(**shown)
            elif now.seconds >= PATIENCE:
                update = _started(stack, shown)

        yield show


def _started(stack: ExitStack, shown: dict[str, Any]) -> Callable[..., None]:
    from rich import progress
    from rich.console import Console

    bar = progress.Progress(
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.TextColumn("{task.fields[rows]}", markup=False),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True, no_color=True),
        transient=True,
    )
    task = bar.add_task("", **shown)
    stack.enter_context(bar)
    return lambda **fields: bar.update(task, **fields)


@contextmanager
def _ending_as_interrupted() -> Iterator[None]:
    kinds = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {}
    for kind in kinds:
        if signal.getsignal(kind) == signal.SIG_DFL:  # nohup's SIGHUP stays ignored
            before[kind] = signal.signal(kind, signal.default_int_handler)
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
