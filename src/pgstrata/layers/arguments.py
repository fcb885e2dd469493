"""The strongest layer: what the calling code says, as values by dotted key or as a whole
dictionary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path as Folder
from pathlib import PurePath
from typing import Any, TypeAlias

from pgstrata.layers.document import Document
from pgstrata.layers.nodes import Map, Node, Scalar, Sequence, Span
from pgstrata.layers.references import References
from pgstrata.layers.shape import shape
from pgstrata.model import Finding, Layer, Origin, Secret
from pgstrata.schema.keys import SECTIONS
from pgstrata.schema.libpq import connection_keys
from pgstrata.schema.names import is_showable

Path: TypeAlias = tuple[str, ...]

_NOWHERE = Span(-1, -1, -1, -1)
_NULL = Scalar("null", plain=True, span=_NOWHERE)
_LITERAL = References({}, Folder(), followed=False)


def overrides(values: Mapping[str, object]) -> Document:
    """Return ``values`` as a document, e.g. ``{"connection_settings.host": "db"}``. What is said of
    one section in several of them adds up.
    """
    reader = _Reader(Origin("arguments"))
    root = _empty()
    for key, value in values.items():
        target = root
        *path, name = _path(key)
        for part in path:
            inner = target.entries.get(part)
            target = inner if isinstance(inner, Map) else _put(target, part, _empty())
        _add(target, name, reader.node(value, (*path, name)))
    return Document("arguments", "", root, findings=tuple(reader.findings))


def read(given: Document) -> tuple[Layer, list[Finding]]:
    """Return the layer of such a document, and what is wrong with it. Texts are taken literally."""
    return shape(given, _LITERAL)


def _path(key: str) -> list[str]:
    """Split a dotted key. A PostgreSQL parameter may itself have a dot, which stays."""
    return key.split(".", 3 if key.startswith("connections.") else 1)


def document(data: Mapping[str, Any], source: str = "") -> Document:
    """Return a dictionary as a document, so that it is read exactly as a file would be. ``source``
    names the file that it was made of, if it was.
    """
    origin = Origin("file" if source else "arguments", source or "dictionary")
    reader = _Reader(origin)
    root = reader.map(data, ())
    return Document(origin.layer, origin.source, root, findings=tuple(reader.findings))


def unwrap(wrapped: Document) -> Document:
    """Return a document without the ``postgresql:`` around its sections that old pgmonkey files
    have. A section both inside and outside is a finding.
    """
    inner = wrapped.root.entries["postgresql"]
    outer = {name: node for name, node in wrapped.root.entries.items() if name != "postgresql"}
    if not isinstance(inner, Map):
        return wrapped
    root = Map({**outer, **inner.entries}, {**wrapped.root.keys, **inner.keys}, wrapped.root.span)
    twice = [
        Finding(
            "duplicate-key",
            f"{name} is also given outside of postgresql",
            wrapped.origin(inner.keys[name]),
            key=name,
        )
        for name in inner.entries
        if name in outer and name in SECTIONS
    ]
    return replace(wrapped, root=root, findings=(*wrapped.findings, *twice))


def _empty() -> Map:
    return Map({}, {}, _NOWHERE)


def _put(target: Map, name: str, node: Any) -> Any:
    target.entries[name], target.keys[name] = node, _NOWHERE
    return node


def _add(target: Map, name: str, node: Node) -> None:
    """Put a node into a map; a map is added to the one that is there."""
    known = target.entries.get(name)
    if not isinstance(known, Map) or not isinstance(node, Map):
        _put(target, name, node)
        return
    for inner, each in node.entries.items():
        _add(known, inner, each)


class _Reader:
    """Nodes from values of Python, and ``findings`` about those that are none of a file's."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.findings: list[Finding] = []

    def map(self, data: Mapping[str, Any], path: Path) -> Map:
        made = _empty()
        for name, value in data.items():
            _put(made, str(name), self.node(value, (*path, str(name))))
        return made

    def node(self, value: Any, path: Path) -> Node:
        if isinstance(value, Mapping):
            return self.map(value, path)
        if isinstance(value, list | tuple):
            return Sequence(tuple(self._item(item, path) for item in value), _NOWHERE)
        if value is None:
            return _NULL
        if not isinstance(value, Secret) and callable(value) and _may_be_secret(path):
            value = Secret(value)
        if isinstance(value, Secret) and value.function is not None:
            return Scalar("", plain=False, span=_NOWHERE, given=value)
        return self._scalar(value, path)

    def _item(self, value: Any, path: Path) -> Node:
        if value is None:
            self._refuse("must have no null among its items", path)
        return self.node(value.reveal() if isinstance(value, Secret) else value, path)

    def _scalar(self, value: Any, path: Path) -> Node:
        text = _text(value)
        if text is not None:
            return Scalar(text, plain=False, span=_NOWHERE)
        kind = type(value).__name__
        self._refuse(f"must be a text, a number, true or false, or a Secret, not {kind}", path)
        return _NULL

    def _refuse(self, problem: str, path: Path) -> None:
        key = ".".join(name for name in path if is_showable(name))
        self.findings.append(Finding("invalid-type", f"{key}: {problem}", self.origin, key=key))


def _may_be_secret(path: Path) -> bool:
    *_, section, name = ("", *path)
    key = connection_keys().get(name)
    return section == "connection_settings" and key is not None and key.secret


# A subclass, such as an enumeration, may show itself otherwise than its value.
_TEXTS: Mapping[type, Callable[[Any], str]] = {
    str: str.__str__,
    bool: lambda value: str(value).lower(),
    int: int.__repr__,
    float: float.__repr__,
    Decimal: str,
    PurePath: str,
    Secret: Secret.reveal,
}


def _text(value: Any) -> str | None:
    """Return the text that a file would hold for a value, or None where there is none."""
    return next((text(value) for kind, text in _TEXTS.items() if isinstance(value, kind)), None)
