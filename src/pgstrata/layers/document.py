"""YAML text to nodes that know their place. Nothing is cast, resolved or constructed.

The tree is built from libyaml's events and not by its composer: the composer recurses in C, and a
file of some thousand opening brackets ends the whole process there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml

from pgstrata.errors import InvalidConfigError
from pgstrata.model import Finding, LayerName, Origin

MAX_DEPTH = 32
MAX_NODES = (
    100_000  # aliases of aliases grow exponentially; this many is more than any real file holds
)
MAX_BYTES = 4 * 1024 * 1024

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one is missing from some builds
_TAGS = {
    None,
    "!",
    *(f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null")),
}
_NULLS = {"", "~", "null", "Null", "NULL"}


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the text, in 0-based lines and columns as the YAML library counts."""

    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value as written. ``plain`` means without quotes, where ``null`` and ``~`` mean
    nothing.
    """

    text: str
    plain: bool
    span: Span

    @property
    def null(self) -> bool:
        """Whether it unsets its key."""
        return self.plain and self.text in _NULLS


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list of nodes."""

    items: tuple[Node, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Map:
    """Nodes by key; ``keys`` holds the place of each key."""

    entries: dict[str, Node]
    keys: dict[str, Span]
    span: Span


Event: TypeAlias = Any  # the stubs know only what all events have in common
Node: TypeAlias = Scalar | Sequence | Map


@dataclass(frozen=True, slots=True)
class Document:
    """One parsed file. ``source`` is its name as people are shown it."""

    layer: LayerName
    source: str
    lines: tuple[str, ...]
    root: Map
    findings: list[Finding] = field(default_factory=list)

    def origin(self, span: Span) -> Origin:
        """Return the place of ``span``, counted from 1."""
        return Origin(self.layer, self.source, span.line + 1, span.column + 1)


def parse(content: bytes, layer: LayerName, source: str) -> Document:
    """Parse one YAML file. Raises ``InvalidConfigError`` where it is not YAML; an empty file is an
    empty map.
    """
    text = _decode(content, layer, source)
    builder = _Builder(layer, source)
    try:
        root = builder.build(yaml.parse(text, Loader=_LOADER))
    except yaml.YAMLError as error:
        raise InvalidConfigError([_syntax_finding(error, layer, source, text)]) from None
    return Document(layer, source, tuple(text.splitlines()), root, builder.findings)


def _decode(content: bytes, layer: LayerName, source: str) -> str:
    if len(content) > MAX_BYTES:
        raise InvalidConfigError(
            [Finding("yaml-syntax", f"larger than {MAX_BYTES} bytes", Origin(layer, source, 1, 1))]
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        place = Origin(layer, source, line, column)
        finding = Finding("yaml-syntax", "not UTF-8 text", place, hint="save the file as UTF-8")
        raise InvalidConfigError([finding]) from None


class _Builder:
    """Nodes from events. Problems that leave the rest readable are gathered in ``findings``."""

    def __init__(self, layer: LayerName, source: str) -> None:
        self.layer = layer
        self.source = source
        self.findings: list[Finding] = []
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._nodes = 0

    def build(self, events: Iterator[Event]) -> Map:
        self._events = events
        empty = Map({}, {}, Span(0, 0, 0, 0))
        root: Node = empty
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._report("yaml-syntax", "more than one document in a file", _span(event))
                root, _ = self._node(next(events), 0)
        if isinstance(root, Scalar) and root.null:
            return empty
        if not isinstance(root, Map):
            self._report("yaml-syntax", "the file must be a map of sections", root.span)
            return empty
        return root

    def _node(self, event: Event, depth: int) -> tuple[Node, int]:
        """Return the node that starts with ``event``, and how many nodes it is made of."""
        if depth > MAX_DEPTH:
            raise _Refused(f"nested deeper than {MAX_DEPTH} levels", event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            node, size = self._alias(event)
        else:
            if event.tag not in _TAGS and not _is_collection_tag(event.tag):
                self._report("yaml-syntax", "tags are not allowed", _span(event))
            node, size = self._collection_or_scalar(event, depth)
            if event.anchor:
                self._anchors[event.anchor] = (node, size)
        self._nodes += size
        if self._nodes > MAX_NODES:
            raise _Refused(f"more than {MAX_NODES} values", event.start_mark)
        return node, size

    def _collection_or_scalar(self, event: Event, depth: int) -> tuple[Node, int]:
        if isinstance(event, yaml.MappingStartEvent):
            return self._map(event, depth)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(event, depth)
        return Scalar(event.value, event.implicit[0], _span(event)), 1

    def _alias(self, event: yaml.AliasEvent) -> tuple[Node, int]:
        if event.anchor not in self._anchors:
            # The name is not quoted: an unquoted password may start with a star.
            raise _Refused("alias of an anchor that is not defined above", event.start_mark)
        return self._anchors[event.anchor]

    def _sequence(self, start: Event, depth: int) -> tuple[Sequence, int]:
        items: list[Node] = []
        size = 1
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            node, inner = self._node(event, depth + 1)
            items.append(node)
            size += inner
        return Sequence(tuple(items), _span(start, event)), size

    def _map(self, start: Event, depth: int) -> tuple[Map, int]:
        entries: dict[str, Node] = {}
        keys: dict[str, Span] = {}
        merged: list[Map] = []
        size = 1
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key, _ = self._node(event, depth + 1)
            value, inner = self._node(next(self._events), depth + 1)
            size += inner
            if not isinstance(key, Scalar):
                self._report("yaml-syntax", "a key must be a plain text", key.span)
            elif key.text == "<<" and key.plain:
                merged += self._sources(value)
            elif key.text in entries:
                first = keys[key.text].line + 1
                self._report("duplicate-key", f"already given in line {first}", key.span, key.text)
            else:
                entries[key.text], keys[key.text] = value, key.span
        for source in merged:
            entries = {**source.entries, **entries}
            keys = {**source.keys, **keys}
        return Map(entries, keys, _span(start, event)), size

    def _sources(self, value: Node) -> list[Map]:
        """Return the maps that a ``<<`` key merges, strongest first."""
        nodes = value.items if isinstance(value, Sequence) else (value,)
        if not all(isinstance(node, Map) for node in nodes):
            self._report("yaml-syntax", "<< takes a map or a list of maps", value.span)
        return [node for node in nodes if isinstance(node, Map)]

    def _report(self, rule: str, message: str, span: Span, key: str = "") -> None:
        place = Origin(self.layer, self.source, span.line + 1, span.column + 1)
        self.findings.append(Finding(rule, message, place, key=key))


class _Refused(yaml.MarkedYAMLError):
    """Well-formed YAML that is not taken."""

    def __init__(self, problem: str, mark: Any) -> None:
        super().__init__(problem=problem, problem_mark=mark)


def _is_collection_tag(tag: str | None) -> bool:
    return tag in {"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}


def _span(start: Event, end: Event | None = None) -> Span:
    first, last = start.start_mark, (end or start).end_mark
    return Span(first.line, first.column, last.line, last.column)


def _syntax_finding(error: yaml.YAMLError, layer: LayerName, source: str, text: str) -> Finding:
    mark: Any = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "not readable as YAML"
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    lines = text.splitlines()
    excerpt = lines[line - 1] if 0 < line <= len(lines) else ""
    return Finding(
        "yaml-syntax",
        # Quoted characters are dropped: they may be part of a password that broke the syntax.
        re.sub(r"'[^']*'", "a character", problem),
        Origin(layer, source, line, column),
        hint="put texts with special characters in quotes",
        excerpt=_key_only(excerpt),
    )


def _key_only(line: str) -> str:
    """Return the key of a line that does not parse; the rest may be a secret."""
    key = re.match(r"\s*(- )?[\w.-]+\s*:", line)
    return f"{key[0]} …" if key else ""
