"""The values that everything else passes around: secrets, origins, settings, findings, the Config."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NoReturn, TypeAlias

from pgstrata.errors import UnknownKeyError

MASK = "********"

LayerName: TypeAlias = Literal[
    "default",
    "base",
    "overlay",
    "file",
    "local",
    "sealed",
    "keyring",
    "environment",
    "arguments",
    "libpq",
]
Severity: TypeAlias = Literal["error", "warning", "info"]


class Secret:
    """A text that shows itself only to ``reveal()``.

    The text sits in a closure, not in an attribute: ``vars``, ``repr``, ``format``, ``asdict``, pickling, JSON and
    YAML writers and tracebacks with locals find nothing. It may be given as a function, which is then called at each
    ``reveal()``: so a secret is resolved when it is used, and a rotated one is seen by the next use.

    ``source`` says where it comes from in words that may be shown, e.g. ``env DB_PASSWORD``.
    """

    __slots__ = ("_reveal", "source")

    def __init__(self, value: str | Callable[[], str], *, source: str = "literal") -> None:
        self._reveal: Callable[[], str] = (lambda: value) if isinstance(value, str) else value
        self.source = source

    def reveal(self) -> str:
        """Return the text. Raises ``SecretError`` where it cannot be had."""
        return self._reveal()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.reveal().encode(), other.reveal().encode())

    __hash__ = None  # type: ignore[assignment]  # a hash would be a stable fingerprint of the text

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret cannot be pickled or dumped; reveal() it where it is used")


Value: TypeAlias = "str | int | float | bool | Secret | tuple[Any, ...] | Mapping[str, Any] | None"


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """Where a value comes from: a layer, and the place in it. Lines and columns count from 1."""

    layer: LayerName
    source: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if self.line:
            return f"{self.source}:{self.line}:{self.column}"
        if self.layer == "environment":
            return f"env {self.source}"
        return f"{self.layer} {self.source}".rstrip()

    def as_json(self) -> dict[str, object]:
        """Return the JSON shape of an origin: layer, source, and line and column where there are any."""
        place = {"line": self.line, "column": self.column} if self.line else {}
        return {"layer": self.layer, "source": self.source, **place}


DEFAULT = Origin("default")


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check reports. ``excerpt`` is the source line with every secret masked, or empty."""

    rule: str
    message: str
    origin: Origin
    severity: Severity = "error"
    environment: str = ""
    key: str = ""
    hint: str = ""
    excerpt: str = ""

    def __str__(self) -> str:
        return f"{self.origin}: {self.severity}[{self.rule}] {self.message}"

    def as_json(self) -> dict[str, object]:
        """Return the JSON shape of a finding."""
        return {
            "rule": self.rule,
            "severity": self.severity,
            "environment": self.environment,
            "key": self.key,
            "message": self.message,
            "hint": self.hint,
            "origin": self.origin.as_json(),
        }


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value as a layer wrote it, not yet decoded: opaque to the merge, so nothing is cast or evaluated.

    ``raw`` is the text of a scalar, a tuple of nested values for a list, a ``Secret``, or None, which unsets a key.
    A map's own null is marked by ``unsets_map``: it clears all that weaker layers said below it.
    """

    raw: Any
    origin: Origin
    via: str = ""


@dataclass(frozen=True, slots=True)
class Layer:
    """One source of values: nested maps by key, ending in leaves."""

    name: LayerName
    source: str
    tree: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Given:
    """One entry in the stack of a setting: what a layer said, strongest first."""

    value: Value
    origin: Origin


@dataclass(frozen=True, slots=True)
class Setting:
    """One dotted key with its typed value, its origin, and all that it overrode, strongest first."""

    key: str
    value: Value
    origin: Origin
    secret: bool = False
    overrode: tuple[Given, ...] = ()

    @property
    def stack(self) -> tuple[Given, ...]:
        """The winner, then what it overrode."""
        return (Given(self.value, self.origin), *self.overrode)
