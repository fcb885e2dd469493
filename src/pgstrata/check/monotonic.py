"""Monotonic safety: what is strict in other environments is no weaker in a protected one.

Environments on the embedded server are left out: their settings are for one machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from pgstrata.check.scope import Connection, Found, Project, Rule, Unknown, reading
from pgstrata.check.transport import sslmode
from pgstrata.schema.keys import CONNECTION

_TIMEOUTS = (
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "transaction_timeout",
)
_CONNECT = "connection_settings.connect_timeout"
_BINDING = "connection_settings.channel_binding"
_SSLMODE = "connection_settings.sslmode"


class _Measured(NamedTuple):
    """How strong a connection is in one respect, and the key that makes it so."""

    connection: Connection
    strength: float
    key: str

    @property
    def said(self) -> str:
        value = self.connection.value(self.key)
        return "(not set)" if value is None else str(value)


def weaker_tls(project: Project) -> Iterator[Found | Unknown]:
    """Find protected environments with less TLS than one that is not protected."""
    modes = CONNECTION["sslmode"].choices
    yield from _weaker(project, lambda c: _Measured(c, modes.index(sslmode(c)), _SSLMODE))


def weaker_channel_binding(project: Project) -> Iterator[Found | Unknown]:
    """Find protected environments with less channel binding than one that is not protected."""
    levels = CONNECTION["channel_binding"].choices

    def binding(connection: Connection) -> _Measured:
        level = str(connection.value(_BINDING) or "prefer")
        return _Measured(connection, levels.index(level), _BINDING)

    yield from _weaker(project, binding)


def weaker_timeout(project: Project) -> Iterator[Found | Unknown]:
    """Find protected environments that wait longer than one that is not protected."""
    yield from _weaker(project, lambda connection: _impatience(connection, _CONNECT))
    for name in _TIMEOUTS:

        def longest(connection: Connection, name: str = name) -> _Measured:
            keys = connection.session_keys(name)
            return min((_impatience(connection, key) for key in keys), key=lambda one: one.strength)

        yield from _weaker(project, longest)


def _impatience(connection: Connection, key: str) -> _Measured:
    value = reading(key, connection.value(key))
    wait = value if isinstance(value, int | float) and value else float("inf")
    return _Measured(connection, -wait, key)


def _weaker(
    project: Project, measure: Callable[[Connection], _Measured]
) -> Iterator[Found | Unknown]:
    """Yield the protected connections that are weaker than the strongest unprotected one of the
    same name.
    """
    measured: list[_Measured] = []
    for connection in project.connections:
        if (connection.hosts and not connection.local) or connection.by_service:
            one = measure(connection)
            unknown = connection.undecided(one.key)
            yield from unknown
            measured += [] if unknown else [one]
    strongest: dict[str, _Measured] = {}
    for one in measured:
        best = strongest.get(one.connection.name)
        if not one.connection.protected and (best is None or one.strength > best.strength):
            strongest[one.connection.name] = one
    for one in measured:
        best = strongest.get(one.connection.name)
        if one.connection.protected and best and one.strength < best.strength:
            yield _found(one, best)


def _found(one: _Measured, best: _Measured) -> Found:
    name, there = one.key.rpartition(".")[2], best.connection
    return one.connection.found(
        one.key,
        f"{name} {one.said} is weaker than {best.said} in {there.environment}",
        hint=f"the stronger one is at {there.place(best.key)}",
    )


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
        " `idle_in_transaction_session_timeout` is larger there, or not set. What counts is the"
        " longest of the connection types in use.",
        why="A query that is too slow passes every test and then hangs where it matters.",
        remedy="Lower it, or say why: `# pgstrata: ignore[weaker-timeout] because …`.",
        compares=True,
    ),
)
