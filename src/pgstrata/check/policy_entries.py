"""The entries of ``policy`` as they are written: what each demands of which keys.

Each has one of ``require``, ``forbid``, ``max``, ``min``, ``one_of`` and ``from``, and may have
``environments`` (patterns of names), ``message`` and ``severity``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, get_args

from pgstrata.check.scope import reading
from pgstrata.model import Config, LayerName, Severity
from pgstrata.schema.decode import decode
from pgstrata.schema.keys import SECTIONS, Key
from pgstrata.schema.meaning import target_and_key
from pgstrata.schema.names import key_of
from pgstrata.schema.suggest import closest

KINDS = ("require", "forbid", "max", "min", "one_of", "from")
_NAMED = "connections."
_WILD = re.compile(r"[*?\[]")
_LAYERS = get_args(LayerName)
_SEVERITIES = get_args(Severity)
_OF_KEYS = ("require", "forbid")
_LIST, _MAP = "a key, or a list of keys", "a map from keys to what is allowed"
_OPTIONS = ("environments", "message", "severity")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry that can be read: what it demands of which keys, and where.

    ``operands`` pairs each key, as ``Config`` has it, with what is demanded of it.
    """

    kind: str
    operands: tuple[tuple[str, Any], ...]
    environments: tuple[str, ...] = ("*",)
    message: str = ""
    severity: Severity | None = None

    def covers(self, environment: str) -> bool:
        """Tell whether it is about an environment."""
        return any(fnmatchcase(environment, pattern) for pattern in self.environments)

    def misspelt(self, environments: Collection[str], connections: Collection[str]) -> str:
        """Return which environment or connection it names that there is not, or nothing. A pattern
        may be written before there is what it is for.
        """
        plain = (name for name in self.environments if not _WILD.search(name))
        names = (target_and_key(key)[0] for key, _ in self.operands if key.startswith(_NAMED))
        problems = (
            *(_absent("environment", name, environments) for name in plain),
            *(_absent("connection", name, connections) for name in names),
        )
        return next(filter(None, problems), "")


def _absent(what: str, name: str, there: Collection[str]) -> str:
    guess = "" if name in there else closest(name, there)
    meant = f"; did you mean {guess!r}?" if guess else ""
    return "" if name in there else f"there is no {what} {name!r}{meant}"


def entries(config: Config) -> Iterator[Entry | str]:
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
    operands = _options_problem(item) or _operands(kinds[0], item[kinds[0]])
    if isinstance(operands, str):
        return operands
    message, severity = item.get("message") or "", item.get("severity")
    return Entry(kinds[0], operands, _patterns(item), message, severity)


def _patterns(item: Mapping[str, Any]) -> tuple[str, ...]:
    said = item.get("environments")
    return _texts("*" if said is None else said)


def _options_problem(item: Mapping[str, Any]) -> str:
    severity, message = item.get("severity"), item.get("message")
    if severity is not None and severity not in _SEVERITIES:
        return f"severity is one of {', '.join(_SEVERITIES)}"
    if message is not None and not isinstance(message, str):
        return "message must be a text"
    if not _patterns(item):
        return "environments must be a pattern of names, or a list of patterns"
    return ""


def _operands(kind: str, said: Any) -> tuple[tuple[str, Any], ...] | str:
    """Return the keys, each with its operand, or what is wrong with them."""
    if kind in _OF_KEYS:
        operands: dict[str, Any] = dict.fromkeys(_texts(said))
    else:
        operands = said if isinstance(said, dict) else {}
    if not operands:
        return f"{kind} must be {_LIST if kind in _OF_KEYS else _MAP}"
    if kind in ("one_of", "from"):
        operands = {key: _texts(operand) for key, operand in operands.items()}
    problems = [_operand_problem(kind, key, operand) for key, operand in operands.items()]
    wrong = next(filter(None, problems), "")
    return wrong or tuple((_as_set(key), operand) for key, operand in operands.items())


def _operand_problem(kind: str, key: str, operand: Any) -> str:
    if isinstance(found := _find_key(key), str):
        return found
    if kind in ("one_of", "from") and not operand:
        return f"{key}: what is allowed must be a text, or a list of texts"
    if kind == "from":
        wrong = [layer for layer in operand if layer not in _LAYERS]
        return f"{wrong[0]!r} is no layer; layers are {', '.join(_LAYERS)}" if wrong else ""
    if kind in _OF_KEYS:
        return ""
    if found is not None and found.secret:
        return f"{key} is a secret, which is not compared"
    bound = decoded(key, operand) if kind in ("max", "min") else 0
    return "" if isinstance(bound, int | float) else f"{key}: {operand!r} is no number"


def _find_key(key: str) -> Key | str | None:
    """Return the key of that name, None for a section without one, or what is wrong with it."""
    _, bare = target_and_key(key)
    section_name, dot, name = bare.partition(".")
    section = SECTIONS.get(section_name)
    if section is None:
        guess = closest(section_name, SECTIONS)
        return f"{key!r} is not a key" + (f"; did you mean {guess!r}?" if guess else "")
    if section.has_keys:
        return key_of(section, name) or f"{key!r} is not a key"
    return f"{key!r} is not a key" if section.is_map or dot else section.key


def _as_set(key: str) -> str:
    """Return a key as ``Config`` has it: a parameter in PostgreSQL's own spelling, TimeZone, would
    match nothing there.
    """
    found = _find_key(key)
    _, bare = target_and_key(key)
    section, dot, _ = bare.partition(".")
    own = f"{section}.{found.name}" if dot and isinstance(found, Key) else bare
    return key.removesuffix(bare) + own


def decoded(key: str, text: Any) -> object:
    """Return what ``text`` means as a value of ``key``, or None where it means nothing."""
    found = _find_key(key)
    if not isinstance(found, Key) or not isinstance(text, str):
        return text
    try:
        return reading(key, decode(found, text))
    except ValueError:
        return None


def _texts(said: Any) -> tuple[str, ...]:
    """Return a text, or a list of texts, as a tuple; an empty one for anything else."""
    texts = said if isinstance(said, tuple) else (said,)
    return texts if all(isinstance(text, str) for text in texts) else ()
