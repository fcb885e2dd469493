"""The strongest layer: what the calling code says, as values by dotted key or as a whole
dictionary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pgstrata.layers.document import Document
from pgstrata.layers.nodes import Map, Node, Scalar, Sequence, Span
from pgstrata.layers.references import References
from pgstrata.layers.shape import shape
from pgstrata.model import Finding, Layer, LayerName, Secret

_NOWHERE = Span(-1, -1, -1, -1)
_LITERAL = References({}, Path(), followed=False)


def overrides(values: Mapping[str, object]) -> Document:
    """Return ``values`` as a document, e.g. ``{"connection_settings.host": "db"}``."""
    root = _map({})
    for key, value in values.items():
        target = root
        *path, name = _path(key)
        for part in path:
            inner = target.entries.get(part)
            target = inner if isinstance(inner, Map) else _put(target, part, _map({}))
        _put(target, name, _node(value))
    return Document("arguments", "", root)


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
    layer: LayerName = "file" if source else "arguments"
    return Document(layer, source or "dictionary", _map(data))


def unwrap(wrapped: Document) -> Document:
    """Return a document without the ``postgresql:`` around its sections that old pgmonkey files
    have.
    """
    inner = wrapped.root.entries["postgresql"]
    outer = {name: node for name, node in wrapped.root.entries.items() if name != "postgresql"}
    if not isinstance(inner, Map):
        return wrapped
    root = Map({**outer, **inner.entries}, {**wrapped.root.keys, **inner.keys}, wrapped.root.span)
    return replace(wrapped, root=root)


def _map(data: Mapping[str, Any]) -> Map:
    made = Map({}, {}, _NOWHERE)
    for name, value in data.items():
        _put(made, str(name), _node(value))
    return made


def _put(target: Map, name: str, node: Any) -> Any:
    target.entries[name], target.keys[name] = node, _NOWHERE
    return node


def _node(value: Any) -> Node:
    if isinstance(value, Mapping):
        return _map(value)
    if isinstance(value, list | tuple):
        items = (item.reveal() if isinstance(item, Secret) else item for item in value)
        return Sequence(tuple(map(_node, items)), _NOWHERE)
    if value is None:
        return Scalar("null", plain=True, span=_NOWHERE)
    if isinstance(value, Secret) and value.function is not None:
        return Scalar("", plain=False, span=_NOWHERE, given=value)
    return Scalar(_text(value), plain=False, span=_NOWHERE)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value.reveal() if isinstance(value, Secret) else str(value)
