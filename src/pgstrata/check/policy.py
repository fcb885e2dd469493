"""The project's own rules: ``policy`` of base.yaml.

Each entry has one of ``require``, ``forbid``, ``max``, ``min``, ``one_of`` and ``from``, and may
have ``environments`` (patterns of names), ``message`` and ``severity``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, get_args

from pgstrata.check.scope import Connection, Found, Project, Rule, reading
from pgstrata.model import Config, LayerName, Secret, Setting, Severity, Value
from pgstrata.schema.decode import decode
from pgstrata.schema.keys import SECTIONS, Key
from pgstrata.schema.names import key_of
from pgstrata.schema.suggest import closest

_SEVERITIES = get_args(Severity)
_OPTIONS = ("environments", "message", "severity")
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


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry that can be read: what it demands of which keys, and where."""

    kind: str
    operands: Mapping[str, Any]
    environments: tuple[str, ...] = ("*",)
    message: str = ""
    severity: Severity | None = None

    def covers(self, environment: str) -> bool:
        """Tell whether it is about an environment."""
        return any(fnmatchcase(environment, pattern) for pattern in self.environments)


def broken(project: Project) -> Iterator[Found]:
    """Find what the project's own rules do not allow."""
    for connection in project.connections:
        for entry in _entries(connection.config):
            if isinstance(entry, Entry) and entry.covers(connection.environment):
                yield from _apply(entry, connection)


def _apply(entry: Entry, connection: Connection) -> Iterator[Found]:
    for full, operand in entry.operands.items():
        key = _key_for(full, connection)
        problem = KINDS[entry.kind](connection, key, operand) if key else ""
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
    both = reading(key, _value(connection, key)), _decoded(key, limit)
    value, bound = (one if isinstance(one, int | float) else math.nan for one in both)
    return value, bound


def _one_of(connection: Connection, key: str, allowed: tuple[str, ...]) -> str:
    value = _value(connection, key)
    if value is None or reading(key, value) in [_decoded(key, text) for text in allowed]:
        return ""
    return f"{key} {value} is not one of {', '.join(allowed)}"


def _from(connection: Connection, key: str, layers: tuple[str, ...]) -> str:
    setting = _setting(connection, key)
    if setting is None or setting.value is None or setting.origin.layer in layers:
        return ""
    return f"{key} comes from the layer {setting.origin.layer}; allowed: {', '.join(layers)}"


KINDS: Mapping[str, Callable[[Connection, str, Any], str]] = {
    "require": _require,
    "forbid": _forbid,
    "max": _max,
    "min": _min,
    "one_of": _one_of,
    "from": _from,
}


def invalid(project: Project) -> Iterator[Found]:
    """Find entries of the policy that cannot be read."""
    for config in project.configs:
        for number, entry in enumerate(_entries(config)):
            if isinstance(entry, str):
                origin = config.settings["policy"].items[number]
                message = f"entry {number + 1}: {entry}"
                yield Found(config.environment, message, origin, "policy")


def _entries(config: Config) -> Iterator[Entry | str]:
    """Yield each entry of the policy, or what is wrong with it."""
    items = config.get("policy")
    for item in items if isinstance(items, tuple) else ():
        yield _entry(item)


def _entry(item: Any) -> Entry | str:
    kinds = [name for name in item if name in KINDS] if isinstance(item, dict) else []
    if len(kinds) != 1:
        return f"must have exactly one of {', '.join(KINDS)}"
    if unknown := [name for name in item if name not in (*KINDS, *_OPTIONS)]:
        guess = closest(unknown[0], (*KINDS, *_OPTIONS))
        return f"has no key {unknown[0]!r}" + (f"; did you mean {guess!r}?" if guess else "")
    severity = item.get("severity")
    if severity is not None and severity not in _SEVERITIES:
        return f"severity is one of {', '.join(_SEVERITIES)}"
    operands = _operands(kinds[0], item[kinds[0]])
    if isinstance(operands, str):
        return operands
    patterns = _texts(item.get("environments") or "*")
    return Entry(kinds[0], operands, patterns, item.get("message") or "", severity)


def _operands(kind: str, said: Any) -> dict[str, Any] | str:
    """Return the operand for each key, or what is wrong with them."""
    if kind in ("require", "forbid"):
        operands: dict[str, Any] = dict.fromkeys(_texts(said))
    elif isinstance(said, dict):
        operands = dict(said)
    else:
        return f"{kind} must be a map from keys to what is allowed"
    if kind in ("one_of", "from"):
        operands = {key: _texts(operand) for key, operand in operands.items()}
    problems = [_operand_problem(kind, key, operand) for key, operand in operands.items()]
    return next(filter(None, problems), "") or operands


def _operand_problem(kind: str, key: str, operand: Any) -> str:
    if isinstance(found := _find_key(key), str):
        return found
    if kind == "from":
        wrong = [layer for layer in operand if layer not in get_args(LayerName)]
        return (
            f"{wrong[0]!r} is no layer; layers are {', '.join(get_args(LayerName))}"
            if wrong
            else ""
        )
    if kind in ("require", "forbid"):
        return ""
    if found is not None and found.secret:
        return f"{key} is a secret, which is not compared"
    bound = _decoded(key, operand) if kind in ("max", "min") else 0
    return "" if isinstance(bound, int | float) else f"{key}: {operand!r} is no number"


def _find_key(key: str) -> Key | str | None:
    """Return the key of that name, None for a section without one, or what is wrong with it."""
    bare = key.split(".", 2)[-1] if key.startswith("connections.") else key
    section_name, _, name = bare.partition(".")
    section = SECTIONS.get(section_name)
    if section is None:
        guess = closest(section_name, SECTIONS)
        return f"{key!r} is not a key" + (f"; did you mean {guess!r}?" if guess else "")
    if not section.has_keys:
        return section.key
    return key_of(section, name) or f"{key!r} is not a key"


def _decoded(key: str, text: Any) -> object:
    """Return what ``text`` means as a value of ``key``, or None where it means nothing."""
    found = _find_key(key)
    if not isinstance(found, Key) or not isinstance(text, str):
        return text
    try:
        return reading(key, decode(found, text))
    except ValueError:
        return None


def _texts(said: Any) -> tuple[str, ...]:
    return tuple(map(str, said)) if isinstance(said, tuple) else (str(said),)


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
        what="An entry of `policy` cannot be read.",
        why="It would forbid nothing.",
        remedy="Correct the entry; the message says what is wrong with it.",
    ),
)
