"""YAML events to nodes that know their place. Nothing is cast, resolved or constructed.

The tree is built from libyaml's events and not by its composer: the composer recurses in C, and a
file of some thousand opening brackets ends the whole process there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml

from pgstrata.model import Secret
from pgstrata.schema.names import shown

MAX_DEPTH = 32
# Aliases of aliases grow exponentially; this many is more than any real file holds.
MAX_NODES = 100_000

_TAGS = {
    None,
    "!",
    *(
        f"tag:yaml.org,2002:{kind}"
        for kind in ("str", "int", "float", "bool", "null", "map", "seq")
    ),
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
    nothing. ``given`` is a secret that the calling code gave as a function, in place of a text.
    """

    text: str = field(repr=False)  # it may be a password, and a traceback may show locals
    plain: bool
    span: Span
    given: Secret | None = None

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

EMPTY = Map({}, {}, Span(0, 0, 0, 0))


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that leaves the rest of the file readable."""

    rule: str
    message: str
    span: Span
    key: str = ""


class RefusedError(yaml.MarkedYAMLError):
    """Well-formed YAML that is not taken."""

    def __init__(self, problem: str, mark: Any) -> None:
        super().__init__(problem=problem, problem_mark=mark)


class Builder:
    """Nodes from events. ``scalars`` are the places of all single values, keys among them."""

    def __init__(self, events: Iterator[Event]) -> None:
        self.problems: list[Problem] = []
        self.scalars: list[Span] = []
        self._events = events
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._nodes = 0

    def build(self) -> Map:
        """Return the map that the file is. Raises ``yaml.YAMLError``."""
        root: Node = EMPTY
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._report("more than one document in a file", _span(event))
                root, _ = self._node(next(self._events), 0)
        if isinstance(root, Scalar) and root.null:
            return EMPTY
        if not isinstance(root, Map):
            self._report("the file must be a map of sections", root.span)
            return EMPTY
        return root

    def _node(self, event: Event, depth: int) -> tuple[Node, int]:
        """Return the node that starts with ``event``, and how many nodes it is made of."""
        if depth > MAX_DEPTH:
            raise RefusedError(f"nested deeper than {MAX_DEPTH} levels", event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            node, size = self._alias(event)
            self._count(size, event)
            return node, size
        self._count(1, event)
        node, size = self._collection_or_scalar(event, depth)
        if event.tag not in _TAGS:
            self._report("tags are not allowed; quote a text that begins with !", _span(event))
        if event.anchor:
            self._anchors[event.anchor] = (node, size)
            if isinstance(node, Scalar) and node.plain and not node.text:
                # Taken as an empty value, `password: &secret` would unset the password.
                self._report("an anchor of nothing; quote a text that begins with &", _span(event))
        return node, size

    def _count(self, size: int, event: Event) -> None:
        self._nodes += size
        if self._nodes > MAX_NODES:
            raise RefusedError(f"more than {MAX_NODES} values", event.start_mark)

    def _collection_or_scalar(self, event: Event, depth: int) -> tuple[Node, int]:
        if isinstance(event, yaml.MappingStartEvent):
            return self._map(event, depth)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(event, depth)
        scalar = Scalar(event.value, event.implicit[0], _span(event))
        self.scalars.append(scalar.span)
        return scalar, 1

    def _alias(self, event: yaml.AliasEvent) -> tuple[Node, int]:
        if event.anchor not in self._anchors:
            # The name is not quoted: an unquoted password may start with a star.
            problem = (
                "alias of an anchor that is not defined above; quote a text that begins with *"
            )
            raise RefusedError(problem, event.start_mark)
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
            size += 1 + inner
            if not isinstance(key, Scalar):
                self._report("a key must be a plain text", key.span)
            elif key.text == "<<" and key.plain:
                merged += self._sources(value)
            elif key.text in entries:
                self._duplicate(key, keys[key.text])
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
            self._report("<< takes a map or a list of maps", value.span)
        return [node for node in nodes if isinstance(node, Map)]

    def _duplicate(self, key: Scalar, first: Span) -> None:
        message = f"{shown(key.text)} key is already given in line {first.line + 1}"
        self.problems.append(Problem("duplicate-key", message, key.span, key.text))

    def _report(self, message: str, span: Span) -> None:
        self.problems.append(Problem("yaml-syntax", message, span))


def _span(start: Event, end: Event | None = None) -> Span:
    first, last = start.start_mark, (end or start).end_mark
    return Span(first.line, first.column, last.line, last.column)
