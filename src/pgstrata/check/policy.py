"""The project's own rules: ``policy`` of base.yaml."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pgstrata.check.policy_entries import Entry, decoded, entries
from pgstrata.check.scope import Connection, Found, Project, Rule, Unknown, reading
from pgstrata.model import Secret, Setting, Value

# What means that there is no limit, which is more than any.
_ENDLESS = {
    "connect_timeout": 0,
    "statement_timeout": 0,
    "lock_timeout": 0,
    "transaction_timeout": 0,
    "idle_session_timeout": 0,
    "idle_in_transaction_session_timeout": 0,
    "max_waiting": 0,
    "temp_file_limit": -1,
}
_UNSURE = "names in entries are looked for where all environments are loaded"


def broken(project: Project) -> Iterator[Found]:
    """Find what the project's own rules do not allow."""
    for connection in project.connections:
        for entry in entries(connection.config):
            if isinstance(entry, Entry) and entry.covers(connection.environment):
                yield from _apply(entry, connection)


def _apply(entry: Entry, connection: Connection) -> Iterator[Found]:
    for full, operand in entry.operands:
        key = _key_for(full, connection)
        problem = CHECKS[entry.kind](connection, key, operand) if key else ""
        if problem:
            message, severity = entry.message or problem, entry.severity
            hint = problem if entry.message else ""
            yield connection.found(key, message, hint=hint, severity=severity)


def _key_for(full: str, connection: Connection) -> str:
    """Return the key of this connection that is meant, or nothing where it is another's."""
    if not full.startswith("connections."):
        return full
    _, name, key = full.split(".", 2)
    return key if name == connection.name else ""


def _require(connection: Connection, key: str, _: object) -> str:
    return f"{key} is required" if _value(connection, key) in (None, "") else ""


def _forbid(connection: Connection, key: str, _: object) -> str:
    setting = _setting(connection, key)
    said = setting is not None and setting.origin.layer != "default" and setting.value is not None
    return f"{key} is forbidden" if said else ""


def _max(connection: Connection, key: str, limit: str) -> str:
    endless = _ENDLESS.get(key.rpartition(".")[2].lower())
    numbers = _numbers(connection, key, limit)
    value, bound = (math.inf if number == endless else number for number in numbers)
    words = "is no limit, and larger" if value == math.inf else "is larger"
    words += " than the largest that is allowed"
    return f"{key} {_value(connection, key)} {words}, {limit}" if value > bound else ""


def _min(connection: Connection, key: str, limit: str) -> str:
    value, bound = _numbers(connection, key, limit)
    words = "is smaller than the smallest that is allowed"
    return f"{key} {_value(connection, key)} {words}, {limit}" if value < bound else ""


def _numbers(connection: Connection, key: str, limit: str) -> tuple[float, float]:
    """Return a value and a limit as numbers; what is none is not a number, and beyond nothing."""
    both = reading(key, _value(connection, key)), decoded(key, limit)
    value, bound = (one if isinstance(one, int | float) else math.nan for one in both)
    return value, bound


def _one_of(connection: Connection, key: str, allowed: tuple[str, ...]) -> str:
    value = _value(connection, key)
    if value is None or reading(key, value) in [decoded(key, text) for text in allowed]:
        return ""
    return f"{key} {value} is not one of {', '.join(allowed)}"


def _from(connection: Connection, key: str, layers: tuple[str, ...]) -> str:
    setting = _setting(connection, key)
    if setting is None or setting.value is None or setting.origin.layer in layers:
        return ""
    return f"{key} comes from the layer {setting.origin.layer}; allowed: {', '.join(layers)}"


CHECKS: Mapping[str, Callable[[Connection, str, Any], str]] = {
    "require": _require,
    "forbid": _forbid,
    "max": _max,
    "min": _min,
    "one_of": _one_of,
    "from": _from,
}


def invalid(project: Project) -> Iterator[Found | Unknown]:
    """Find entries of the policy that cannot be read, or that name what there is not."""
    environments = {config.environment for config in project.configs}
    connections = {connection.name for connection in project.connections}
    for config in project.configs:
        for number, entry in enumerate(entries(config)):
            unread = isinstance(entry, str)
            problem = entry if isinstance(entry, str) else entry.misspelt(environments, connections)
            if problem and not (unread or project.whole):
                yield Unknown(config.environment, _UNSURE)
            elif problem:
                origin = config.settings["policy"].items[number]
                yield Found(config.environment, f"entry {number + 1}: {problem}", origin, "policy")


def _setting(connection: Connection, key: str) -> Setting | None:
    return connection.settings.get(key) or connection.config.settings.get(key)


def _value(connection: Connection, key: str) -> Value:
    setting = _setting(connection, key)
    value = None if setting is None else setting.value
    return "********" if isinstance(value, Secret) else value


RULES = (
    Rule(
        "policy",
        "error",
        broken,
        what="A value breaks one of the project's own rules, which stand under `policy` in"
        " base.yaml. Each entry has one of `require` and `forbid` (keys), `max` and `min` (a limit"
        " for each key), `one_of` (values for each key) and `from` (layers for each key), and may"
        " have `environments` (patterns of names), `message` and `severity`. A 0 that means no"
        " limit is more than any `max`; what is not set breaks only `require`.",
        why="The project says so; its message stands in the finding.",
        remedy="Change the value, or the policy.",
    ),
    Rule(
        "invalid-policy",
        "error",
        invalid,
        what="An entry of `policy` cannot be read, or names an environment or a connection that"
        " there is not. Names are looked for where all environments could be loaded; a pattern may"
        " match nothing.",
        why="It would forbid nothing.",
        remedy="Correct the entry; the message says what is wrong with it.",
    ),
)
