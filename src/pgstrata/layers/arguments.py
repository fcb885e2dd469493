"""The strongest layer: what the calling code says, as values by dotted key or as a whole
dictionary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pgstrata.layers.document import Document, Map, Node, Scalar, Sequence, Span
from pgstrata.layers.references import References
from pgstrata.layers.shape import shape
from pgstrata.model import Finding, Layer, Secret

_NOWHERE = Span(-1, -1, -1, -1)
_LITERAL = References({}, Path(), in_text=False)


def read(overrides: Mapping[str, object]) -> tuple[Layer, list[Finding]]:
    """Return the layer of ``overrides``, e.g. ``{"connection_settings.host": "db"}``, and what is
    wrong with it.
    """
    nested: dict[str, Any] = {}
    for key, value in overrides.items():
        node = nested
        *path, name = _path(key)
        for part in path:
            node = node.setdefault(part, {})
        node[name] = value
    return shape(replace(document(nested), layer="arguments", source=""), _LITERAL)


def _path(key: str) -> list[str]:
    """Split a dotted key. A PostgreSQL parameter may itself have a dot, which stays."""
    return key.split(".", 3 if key.startswith("connections.") else 1)


def document(data: Mapping[str, Any]) -> Document:
    """Return a dictionary as a document, so that it is read exactly as a file would be."""
    root = _node(data)
    assert isinstance(root, Map)
    return Document("arguments", "dictionary", (), root)


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


def _node(value: Any) -> Node:
    if isinstance(value, Mapping):
        entries = {str(name): _node(inner) for name, inner in value.items()}
        return Map(entries, dict.fromkeys(entries, _NOWHERE), _NOWHERE)
    if isinstance(value, list | tuple):
        return Sequence(tuple(_node(item) for item in value), _NOWHERE)
    if value is None:
        return Scalar("null", plain=True, span=_NOWHERE)
    if isinstance(value, bool):
        return Scalar(str(value).lower(), plain=False, span=_NOWHERE)
    return Scalar(
        value.reveal() if isinstance(value, Secret) else str(value), plain=False, span=_NOWHERE
    )
