"""Values put into a YAML text that keeps its comments, order and quotes. The only place that
imports ruamel.yaml.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.resolver import VersionedResolver
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, PlainScalarString

from pgstrata.errors import UsageError
from pgstrata.layers.document import parse
from pgstrata.layers.nodes import Map, Node, Scalar, Sequence

Path: TypeAlias = tuple[str, ...]

_NULL = ("tag:yaml.org,2002:null", re.compile("$"))
_MERGE = ("tag:yaml.org,2002:merge", re.compile("<<$"))
_BLOCK_SEQUENCE = re.compile(r"^( *)[^\s#-][^\n]*:[^\n]*\n(?:\s*#[^\n]*\n)*( *)- ", re.MULTILINE)
_BLOCK_MAP = re.compile(r"^[^\s#-][^\n]*:[ \t]*(?:#[^\n]*)?\n( +)[^\s#-]", re.MULTILINE)
_BOM = b"\xef\xbb\xbf"


class _Texts(VersionedResolver):
    """Leaves every value the text that it is: 0123 must not come back as 123, nor null as nothing.

    Only an empty value is None, because it has no text, and ``<<`` is what YAML says.
    """

    @property
    def versioned_resolver(self) -> dict[str, list[tuple[str, re.Pattern[str]]]]:
        return {"": [_NULL], "<": [_MERGE]}


def edited(content: bytes, values: Mapping[Path, Node]) -> bytes:
    """Return the content of a file with these values put in, and all else as it was.

    Raises ``UsageError`` where that cannot be, e.g. where a value is shared by an anchor.
    """
    text = content.decode("utf-8-sig")
    yaml = _round_trip(text)
    tree = yaml.load(text)
    if tree is None:
        tree = CommentedMap()
        text = text if not text or text.endswith("\n") else f"{text}\n"
        prefix = text
    else:
        prefix = ""
    for path, node in values.items():
        _put(tree, path, node)
    stream = io.StringIO()
    yaml.dump(tree, stream)
    result = prefix + stream.getvalue()
    if "\r\n" in text:
        result = result.replace("\r\n", "\n").replace("\n", "\r\n")
    written = (_BOM if content.startswith(_BOM) else b"") + result.encode()
    _verify(content, written, values)
    return written


def node_at(root: Map, path: Path) -> Node | None:
    """Return the node at a path, or None. The last part of it matches in any case, as the names of
    PostgreSQL's parameters do.
    """
    node: Node | None = root
    for part in path:
        if not isinstance(node, Map):
            return None
        node = node.entries.get(_spelling(node.entries, part))
    return node


def _spelling(there: Mapping[Any, Any], name: str) -> str:
    """Return ``name`` as a map already spells it."""
    return next((key for key in there if str(key).lower() == name), name)


def _round_trip(text: str) -> YAML:
    yaml = YAML()
    yaml.Resolver = _Texts
    yaml.preserve_quotes = True
    yaml.width = 1 << 30  # no line is folded
    deeper = _BLOCK_MAP.search(text)
    mapping = len(deeper[1]) if deeper else 2
    dashes = _BLOCK_SEQUENCE.search(text)
    offset = max(0, len(dashes[2]) - len(dashes[1])) if dashes else 0
    yaml.indent(mapping=mapping, sequence=offset + 2, offset=offset)
    return yaml


def _put(tree: CommentedMap, path: Path, node: Node) -> None:
    *sections, name = path
    for section in sections:
        if tree.get(section) is None:
            tree[section] = CommentedMap()
        tree = tree[section]
        if not isinstance(tree, CommentedMap):
            raise UsageError(
                f"{section} is cleared as a whole, so a key in it would bring the others back",
                hint="decide in the file which of them should be there",
            )
    tree[_spelling(tree, name)] = _value(node)


def _value(node: Node) -> Any:
    """Return a node as what ruamel.yaml writes in the same way, on one line."""
    if isinstance(node, Scalar):
        one_line = node.plain and "\n" not in node.text
        return PlainScalarString(node.text) if one_line else DoubleQuotedScalarString(node.text)
    made: CommentedSeq | CommentedMap
    if isinstance(node, Sequence):
        made = CommentedSeq(_value(item) for item in node.items)
    else:
        made = CommentedMap((name, _value(inner)) for name, inner in node.entries.items())
    made.fa.set_flow_style()
    return made


def _verify(before: bytes, after: bytes, values: Mapping[Path, Node]) -> None:
    """Refuse a result in which anything else means something else. Nothing in it is quoted."""
    wanted, found = _flat(_root(before)), _flat(_root(after))
    for path, node in values.items():
        wanted = {at: leaf for at, leaf in wanted.items() if at[: len(path)] != path}
        wanted |= _flat(node, path)
    if wanted != {at: leaf for at, leaf in found.items() if at in wanted or leaf is not _EMPTY}:
        raise UsageError(
            "the file cannot be edited without changing something else in it",
            hint="it shares values by anchors, or is unusual YAML; edit it by hand",
        )


def _root(content: bytes) -> Map:
    return parse(content, "overlay", "").root


_EMPTY = ("", True)


def _flat(node: Node, path: Path = ()) -> dict[Path, object]:
    """Return the scalars of a node by path, keys in lower case, as (text, whether it is null)."""
    if isinstance(node, Scalar):
        return {path: _EMPTY if node.null and not node.text else (node.text, node.null)}
    inner = (
        node.entries.items()
        if isinstance(node, Map)
        else ((str(number), item) for number, item in enumerate(node.items))
    )
    flat: dict[Path, object] = {}
    for name, value in inner:
        flat |= _flat(value, (*path, name.lower()))
    return flat
