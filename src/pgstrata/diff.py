"""What differs between environments: effective settings side by side, one row for each key.

A secret is compared by a fingerprint: an HMAC whose key is made for one comparison and forgotten
with it, so that fingerprints of two runs have nothing in common and nobody can try passwords
against one. A secret that cannot be had is unknown, never the same.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, Literal, TypeAlias

from pgstrata.errors import ConfigError
from pgstrata.model import Config, Finding, Origin, Secret, Setting, Value
from pgstrata.schema.keys import SECTIONS
from pgstrata.schema.libpq import connection_keys, keywords
from pgstrata.schema.meaning import meaning, target_and_key

Status: TypeAlias = Literal["same", "changed", "missing", "unknown"]
STATUSES: tuple[Status, ...] = ("changed", "missing", "unknown", "same")

_PLACE = re.compile(r"^.*?_settings\.[\w.]+: ")
_URL = "connection_settings.url"
_ORDER = {name: place for place, name in enumerate(SECTIONS)}


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """What one environment has for one key. Cells are not compared: a secret may be in them.

    ``value`` is None where nothing is set; ``origin`` is then that of the null that unset it, or
    None. ``unknown`` says why a value cannot be compared, and is empty where it can. A secret that
    can be compared has a ``fingerprint``.
    """

    value: Value = None
    origin: Origin | None = None
    unknown: str = ""
    fingerprint: str = ""

    @property
    def missing(self) -> bool:
        """Whether nothing is set."""
        return self.value is None and not self.unknown


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One key: its cells stand in the order of the environments. ``groups`` numbers the values:
    two cells of one number mean the same; 0 is for what is missing or unknown.
    """

    key: str
    status: Status
    secret: bool
    expected: bool
    cells: tuple[Cell, ...]
    groups: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Environments by their labels, and a row for each key that any of them has."""

    environments: tuple[str, ...]
    rows: tuple[Row, ...]

    def select(self, only: Iterable[Status], *, expected: bool = False) -> Comparison:
        """Return the rows of these statuses; expected differences only if they are asked for."""
        wanted = set(only)
        rows = (row for row in self.rows if row.status in wanted)
        return Comparison(
            self.environments,
            tuple(row for row in rows if expected or row.status == "same" or not row.expected),
        )

    @property
    def summary(self) -> dict[str, int]:
        """The number of rows of each status; expected differences are counted by themselves."""
        counts = Counter(
            "expected" if row.expected and row.status != "same" else row.status for row in self.rows
        )
        return {status: counts[status] for status in (*sorted(STATUSES), "expected")}


def compare(configs: Mapping[str, Config], connection: str | None = None) -> Comparison:
    """Compare environments by their labels; with ``connection``, only that one's settings.

    Keys are full, or with ``connection`` those of the connection itself. What named connections
    inherit in every environment is compared once, where it is said.
    """
    sides = [_Side(config, connection) for config in configs.values()]
    keys = sorted({key for side in sides for key in side.keys}, key=_rank)
    patterns = {pattern for config in configs.values() for pattern in expected_differences(config)}
    fingerprint = partial(_fingerprint, secrets.token_bytes(32))
    rows = []
    for key in keys:
        if all(side.inherits(key) for side in sides):
            continue
        cells = tuple(side.cell(key, fingerprint) for side in sides)
        if not all(cell.missing for cell in cells):
            rows.append(_row(key, cells, expected=_is_expected(key, patterns)))
    return Comparison(tuple(configs), tuple(rows))


def expected_differences(config: Config) -> tuple[str, ...]:
    """Return the keys, and patterns of keys, that base.yaml says may differ."""
    setting = config.settings.get("expected_differences")
    patterns = setting.value if setting is not None else ()
    return tuple(map(str, patterns)) if isinstance(patterns, tuple) else ()


class _Side:
    """One environment as a comparison sees it."""

    def __init__(self, config: Config, connection: str | None) -> None:
        self.config = config
        self.settings = _settings(config, connection)
        self.unresolved = _unresolved(config, connection)
        origins = {finding.origin: finding for finding in self.unresolved.values()}
        # The URLs that could not be taken apart, each with the path of its target.
        self.urls = {
            key.removesuffix(_URL): origins[setting.origin]
            for key, setting in self.settings.items()
            if key.endswith(_URL) and setting.origin in origins
        }

    @property
    def keys(self) -> Iterable[str]:
        return (key for key in (*self.settings, *self.unresolved) if self._is_compared(key))

    def inherits(self, key: str) -> bool:
        """Whether a key of a named connection says nothing but what the top level says."""
        name, inherited = target_and_key(key)
        if not name:
            return False
        setting, top = self.settings.get(key), self.settings.get(inherited)
        if setting is None or top is None:
            return setting is None and key not in self.unresolved
        return setting.origin == top.origin and setting.value is top.value

    def cell(self, key: str, fingerprint: Any) -> Cell:
        setting = self.settings.get(key)
        if finding := self._problem(key, setting):
            return Cell(None, finding.origin, _reason(finding.message))
        if setting is None:
            return Cell()
        if not isinstance(setting.value, Secret):
            return Cell(setting.value, setting.origin)
        unknown, printed = fingerprint(setting.value)
        return Cell(setting.value, setting.origin, unknown, printed)

    def _is_compared(self, key: str) -> bool:
        _, inner = target_and_key(key)
        if inner == _URL:
            # Its parts are compared instead, if it could be taken apart.
            return key.removesuffix(_URL) in self.urls
        section = inner.partition(".")[0]
        return section in SECTIONS and SECTIONS[section].only_in is None

    def _problem(self, key: str, setting: Setting | None) -> Finding | None:
        name, inner = target_and_key(key)
        section, _, keyword = inner.partition(".")
        url = self.urls.get(key.removesuffix(inner))
        if url and section == "connection_settings" and keyword in keywords():
            return None if setting and self._outranks(inner, setting, url) else url
        if setting is not None:
            return url if inner == _URL else None
        if name and name not in self.config.connections:
            return None
        return self.unresolved.get(key) or self.unresolved.get(inner)

    def _outranks(self, key: str, setting: Setting, url: Finding) -> bool:
        """Whether a keyword wins over whatever a URL may hold: it stands beside it or above it."""
        top = self.config.settings.get(key)
        if target_and_key(url.key)[0] and top is not None and top.origin == setting.origin:
            return False  # inherited, and the URL is the connection's own
        own = f"environments/{self.config.environment}.yaml"
        return setting.origin.source == url.origin.source or setting.origin.source.endswith(own)


def _settings(config: Config, connection: str | None) -> Mapping[str, Setting]:
    if connection is None:
        return config.settings
    shared = (name for name, section in SECTIONS.items() if not section.target)
    general = {name: config.settings[name] for name in shared if name in config.settings}
    there = connection in config.connections
    return {**general, **(config.connection(connection) if there else {})}


def _unresolved(config: Config, connection: str | None) -> dict[str, Finding]:
    """Return the references that lead nowhere, by key; a named connection's own count first."""
    found: dict[str, Finding] = {}
    there = connection is None or connection in config.connections
    for finding in config.findings if there else ():
        if finding.rule != "interpolation":
            continue
        name, inner = target_and_key(finding.key)
        if connection is None:
            found[finding.key] = finding
        elif name == connection:
            found[inner] = finding
        elif not name:
            found.setdefault(inner, finding)
    return found


def _rank(key: str) -> tuple[str, int, str]:
    name, inner = target_and_key(key)
    return name, _ORDER[inner.partition(".")[0]], inner


def _row(key: str, cells: tuple[Cell, ...], *, expected: bool) -> Row:
    groups = _groups(key, cells)
    return Row(key, _status(cells, groups), _is_secret(key), expected, cells, groups)


def _is_secret(key: str) -> bool:
    _, inner = target_and_key(key)
    section, _, name = inner.partition(".")
    return section == "connection_settings" and connection_keys()[name].secret


def _groups(key: str, cells: Sequence[Cell]) -> tuple[int, ...]:
    meanings: list[Any] = []
    groups = []
    for cell in cells:
        if cell.unknown or cell.missing:
            groups.append(0)
            continue
        meant = cell.fingerprint or meaning(key, cell.value)
        if meant not in meanings:
            meanings.append(meant)
        groups.append(meanings.index(meant) + 1)
    return tuple(groups)


def _status(cells: Sequence[Cell], groups: Sequence[int]) -> Status:
    if any(cell.missing for cell in cells):
        return "missing"
    if max(groups) > 1:
        return "changed"
    return "unknown" if 0 in groups else "same"


def _is_expected(key: str, patterns: Iterable[str]) -> bool:
    """Whether a pattern names the key, or the same key of a named connection; * stands for any."""
    _, inner = target_and_key(key)
    return any(fnmatchcase(name, pattern) for pattern in patterns for name in (key, inner))


def _fingerprint(key: bytes, secret: Secret) -> tuple[str, str]:
    """Return why a secret is unknown, or its fingerprint. Its text is in no variable here."""
    try:
        # A variable may hold bytes that are no UTF-8; an error about them would quote the secret.
        digest = hmac.new(key, secret.reveal().encode("utf-8", "surrogatepass"), "sha256")
        return "", digest.hexdigest()[:16]
    except ConfigError as error:
        return _reason(str(error)), ""


def _reason(message: str) -> str:
    """Return a message without the place and the key, which stand beside it already."""
    return _PLACE.sub("", message)
