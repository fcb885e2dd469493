"""Monotonic safety: what is strict in other environments is no weaker in a protected one.

Environments on the embedded server are left out: their settings are for one machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pgstrata.check.scope import Connection, Found, Project, Rule, reading
from pgstrata.check.transport import sslmode
from pgstrata.schema.keys import CONNECTION

_TIMEOUTS = (
    "connection_settings.connect_timeout",
    "session_settings.statement_timeout",
    "session_settings.lock_timeout",
    "session_settings.idle_in_transaction_session_timeout",
    "session_settings.transaction_timeout",
)
_BINDING = "connection_settings.channel_binding"
_SSLMODE = "connection_settings.sslmode"


def weaker_tls(project: Project) -> Iterator[Found]:
    """Find protected environments with less TLS than one that is not protected."""
    modes = CONNECTION["sslmode"].choices
    yield from _weaker(project, _SSLMODE, lambda c: modes.index(sslmode(c)))


def weaker_channel_binding(project: Project) -> Iterator[Found]:
    """Find protected environments with less channel binding than one that is not protected."""
    levels = CONNECTION["channel_binding"].choices
    yield from _weaker(
        project, _BINDING, lambda c: levels.index(str(c.value(_BINDING) or "prefer"))
    )


def weaker_timeout(project: Project) -> Iterator[Found]:
    """Find protected environments that wait longer than one that is not protected."""
    for key in _TIMEOUTS:

        def patience(connection: Connection, key: str = key) -> float:
            value = reading(key, connection.value(key))
            return -value if isinstance(value, int | float) and value else float("-inf")

        yield from _weaker(project, key, patience)


def _weaker(project: Project, key: str, strength: Callable[[Connection], float]) -> Iterator[Found]:
    """Yield the protected connections that are weaker than the strongest unprotected one of the
    same name.
    """
    strongest: dict[str, Connection] = {}
    compared = [c for c in project.connections if not c.local and c.hosts]
    for connection in compared:
        best = strongest.get(connection.name)
        if not connection.protected and (best is None or strength(connection) > strength(best)):
            strongest[connection.name] = connection
    for connection in compared:
        best = strongest.get(connection.name)
        if connection.protected and best and strength(connection) < strength(best):
            name = key.rpartition(".")[2]
            yield connection.found(
                key,
                f"{name} {_said(connection, key)} is weaker than {_said(best, key)}"
                f" in {best.environment}",
                hint=f"the stronger one is at {best.place(key)}",
            )


def _said(connection: Connection, key: str) -> str:
    value = connection.value(key)
    return "(not set)" if value is None else str(value)


RULES = (
    Rule(
        "weaker-tls",
        "error",
        weaker_tls,
        what="A protected environment has a weaker `sslmode` than one that is not protected.",
        why="What was tested is not what runs, and the environment with the most to lose is the"
        " least safe.",
        remedy="Raise the protected one; best set `sslmode` in base.yaml for all.",
        compares=True,
    ),
    Rule(
        "weaker-channel-binding",
        "warning",
        weaker_channel_binding,
        what="A protected environment has a weaker `channel_binding` than one that is not.",
        why="What was tested is not what runs.",
        remedy="Raise the protected one.",
        compares=True,
    ),
    Rule(
        "weaker-timeout",
        "warning",
        weaker_timeout,
        what="A protected environment waits longer than one that is not protected:"
        " `connect_timeout`, `statement_timeout`, `lock_timeout`, `transaction_timeout` or"
        " `idle_in_transaction_session_timeout` is larger there, or not set.",
        why="A query that is too slow passes every test and then hangs where it matters.",
        remedy="Lower it, or say why: `# pgstrata: ignore[weaker-timeout] because …`.",
        compares=True,
    ),
)
