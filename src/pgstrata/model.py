"""The values that everything else passes around: secrets, origins, settings, findings, Config."""

from __future__ import annotations

import difflib
import hmac
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
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

    The text sits in a closure, not in an attribute: ``vars``, ``repr``, ``format``, ``asdict``,
    pickling, JSON and YAML writers and tracebacks with locals find nothing. It may be given as a
    function, which is then called at each ``reveal()``: so a secret is resolved when it is used,
    and a rotated one is seen by the next use.

    ``source`` says where it comes from in words that may be shown, e.g. ``env DB_PASSWORD``;
    ``function`` is what is called, or None for a text.
    """

    __slots__ = ("_reveal", "function", "source")

    def __init__(self, value: str | Callable[[], str], *, source: str = "literal") -> None:
        self._reveal: Callable[[], str] = (lambda: value) if isinstance(value, str) else value
        self.function = None if isinstance(value, str) else value
        self.source = source

    def reveal(self) -> str:
        """Return the text. Raises ``SecretError`` where it cannot be had."""
        return self._reveal()

    def taken(self) -> Secret:
        """Return a secret that stays as this one is now. Raises what ``reveal`` raises."""
        return Secret(self.reveal(), source=self.source)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_bytes(self), _bytes(other))

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


class Token(Secret):
    """A secret that a function of the calling code makes anew at each use.

    Those of one function are equal, whatever it returned: a new token does not mean that what was
    opened with the one before has to be closed.
    """

    __slots__ = ("maker",)

    def __init__(
        self, value: str | Callable[[], str], *, maker: Callable[[], str], source: str
    ) -> None:
        super().__init__(value, source=source)
        self.maker = maker

    def taken(self) -> Token:
        """Return the token that the function makes now."""
        return Token(self.reveal(), maker=self.maker, source=self.source)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Token):
            return self.maker == other.maker
        return super().__eq__(other)

    __hash__ = None  # as above


def _bytes(secret: Secret) -> bytes:
    return secret.reveal().encode("utf-8", "surrogatepass")  # of a variable, maybe no text


Value: TypeAlias = "str | int | float | bool | Secret | tuple[Any, ...] | None"


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
        """Return the JSON shape of an origin: layer, source, and line and column where there are
        any.
        """
        place = {"line": self.line, "column": self.column} if self.line else {}
        return {"layer": self.layer, "source": self.source, **place}


DEFAULT = Origin("default")


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check reports.

    ``excerpt`` is the source line with all masked that may be a secret, or empty; ``caret`` is the
    column in it, from 1, that the finding is about.
    """

    rule: str
    message: str
    origin: Origin
    severity: Severity = "error"
    environment: str = ""
    key: str = ""
    hint: str = ""
    excerpt: str = ""
    caret: int = 0

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


@dataclass(frozen=True, slots=True, eq=False)
class Leaf:
    """One value as a layer gave it: opaque to the merge, which so can neither cast, evaluate nor
    join it.

    ``value`` is decoded by the type of its key; None unsets the key, or all of a section. An
    ``Unresolved`` is a reference that leads nowhere, which is an error only if no stronger layer
    has a value. Leaves compare by identity: comparing values would reveal the secrets among them.
    ``items`` are the places of the items of a list; ``from_url`` tells a part of a URL, whose place
    is that of the URL.
    """

    value: Value | Unresolved
    origin: Origin
    items: tuple[Origin, ...] = ()
    from_url: bool = False


@dataclass(frozen=True, slots=True)
class Unresolved:
    """Why a reference could not be followed."""

    message: str
    hint: str = ""


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
    """One dotted key with its typed value, its origin, and what it overrode, strongest first.

    ``items`` are the places of the items of a list.
    """

    key: str
    value: Value
    origin: Origin
    secret: bool = False
    overrode: tuple[Given, ...] = ()
    items: tuple[Origin, ...] = ()

    @property
    def stack(self) -> tuple[Given, ...]:
        """The winner, then what it overrode."""
        return (Given(self.value, self.origin), *self.overrode)


class Config(Mapping[str, Value]):
    """One environment: frozen, validated, every value with its origin.

    A mapping from dotted keys to values, e.g. ``config["connection_settings.host"]``. Named
    connections stand under ``connections.<name>.``, with all that they inherit. ``findings`` are
    the warnings that loading gave.
    """

    __slots__ = ("_targets", "_values", "environment", "findings", "project", "settings")

    environment: str
    project: Path
    settings: Mapping[str, Setting]
    findings: tuple[Finding, ...]
    _targets: Mapping[str, Mapping[str, Setting]]
    _values: dict[str, Value]

    def __init__(
        self,
        environment: str,
        project: Path,
        settings: Mapping[str, Setting],
        targets: Mapping[str, Mapping[str, Setting]],
        findings: tuple[Finding, ...] = (),
    ) -> None:
        write = object.__setattr__
        named = {
            f"connections.{name}.{key}": replace(setting, key=f"connections.{name}.{key}")
            for name, target in targets.items()
            if name != "default"
            for key, setting in target.items()
        }
        everything = {**settings, **targets.get("default", {}), **named}
        write(self, "environment", environment)
        write(self, "project", project)
        write(self, "settings", MappingProxyType(everything))
        write(self, "findings", findings)
        write(
            self,
            "_targets",
            {name: MappingProxyType(dict(target)) for name, target in targets.items()},
        )
        write(self, "_values", {key: setting.value for key, setting in everything.items()})

    def __getitem__(self, key: str) -> Value:
        try:
            return self._values[key]
        except KeyError:
            raise self._unknown(key) from None

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a Config is frozen; {name} cannot be set")

    def __repr__(self) -> str:
        return f"Config({self.environment!r}, {len(self)} settings)"

    def explain(self, key: str) -> Setting:
        """Return the setting of ``key``, with its origin and all that it overrode. Raises
        ``UnknownKeyError``.
        """
        if key not in self.settings:
            raise self._unknown(key)
        return self.settings[key]

    @property
    def connections(self) -> tuple[str, ...]:
        """The names of the connections, ``default`` first where the top-level sections describe
        one.
        """
        return tuple(self._targets)

    def connection(self, name: str = "default") -> Mapping[str, Setting]:
        """Return the effective settings of one connection, by key without ``connections.<name>.``.

        Raises ``UnknownKeyError`` for a connection that the environment does not have.
        """
        if name not in self._targets:
            there = ", ".join(self._targets)
            raise UnknownKeyError(
                f"no connection {name!r} in environment {self.environment!r}; there are: {there}"
            )
        return self._targets[name]

    def _unknown(self, key: str) -> UnknownKeyError:
        close = difflib.get_close_matches(key, self.settings, n=1)
        return UnknownKeyError(
            f"{key!r} is not set in environment {self.environment!r}",
            hint=f"did you mean {close[0]!r}?" if close else "",
        )
