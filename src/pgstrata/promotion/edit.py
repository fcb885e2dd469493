"""Values put into a YAML text that keeps its comments, order and quotes. With ``trailing`` the only
place that imports ruamel.yaml.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.resolver import VersionedResolver
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, PlainScalarString

from pgstrata.layers.document import parse
from pgstrata.layers.nodes import Map, Node, Scalar, Sequence
from pgstrata.promotion import trailing
from pgstrata.promotion.comments import comments

Path: TypeAlias = tuple[str, ...]

_UNUSUAL = "it shares values by anchors, or is unusual YAML, so something else in it would change"
_COMMENTED = "a comment in it would be lost, or would stand at another key"
_CLEARED = "a section is cleared as a whole, so a key in it would bring all the others back"

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


@dataclass(frozen=True, slots=True)
class Edited:
    """The content of a file, or why it cannot be had. Its repr shows no text, which may be secret.

    A problem is returned and not raised: a traceback with locals would show the text.
    """

    content: bytes = field(default=b"", repr=False)
    problem: str = ""


def edited(content: bytes, values: Mapping[Path, Node]) -> Edited:
    """Return the content of a file with these values put in, and all else as it was."""
    values = {path: _null_in_words(node) for path, node in values.items()}
    try:
        text = _dumped(content.decode("utf-8-sig"), values)
    except YAMLError:
        return Edited(problem=_UNUSUAL)
    if text is None:
        return Edited(problem=_CLEARED)
    if b"\r\n" in content:
        text = text.replace("\r\n", "\n").replace("\n", "\r\n")
    written = (_BOM if content.startswith(_BOM) else b"") + text.encode()
    before, after = (parse(one, "overlay", "") for one in (content, written))
    if not _means(before.root, after.root, values):
        return Edited(problem=_UNUSUAL)
    # In a file without any key there is nothing that comments could be about.
    if before.root.entries and comments(before) != comments(after):
        return Edited(problem=_COMMENTED)
    return Edited(written)


def _dumped(text: str, values: Mapping[Path, Node]) -> str | None:
    """Return the text with the values, or None where a section of one is cleared as a whole."""
    yaml = _round_trip(text)
    tree, before = yaml.load(text), ""
    if tree is None:
        # There is nothing that the comments of such a file could belong to.
        tree, before = CommentedMap(), text + "\n" * bool(text and text[-1] != "\n")
    if not all(_put(tree, path, node) for path, node in values.items()):
        return None
    stream = io.StringIO()
    yaml.dump(tree, stream)
    return before + stream.getvalue()


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


def _put(tree: CommentedMap, path: Path, node: Node) -> bool:
    *sections, name = path
    while sections and tree.get(sections[0]) is not None:
        tree = tree[sections.pop(0)]
        if not isinstance(tree, CommentedMap):
            return False
    top = sections[0] if sections else _spelling(tree, name)
    lines = trailing.taken(tree, top)
    inner = tree
    for section in sections:
        inner[section] = CommentedMap()
        inner = inner[section]
    inner[_spelling(inner, name)] = _value(node)
    trailing.give(tree, top, lines)
    return True


def _null_in_words(node: Node) -> Node:
    """Return a value that is nothing as the word for it."""
    nothing = isinstance(node, Scalar) and node.null and not node.text
    return Scalar("null", plain=True, span=node.span) if nothing else node


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


def _means(before: Map, after: Map, values: Mapping[Path, Node]) -> bool:
    """Whether ``after`` means what ``before`` does, but for the values."""
    wanted = _flat(before)
    for path, node in values.items():
        # What stands at a part of the path is a section that was empty.
        wanted = {
            at: leaf
            for at, leaf in wanted.items()
            if at[: len(path)] != path and path[: len(at)] != at
        }
        wanted |= _flat(node, path)
    return wanted == _flat(after)


def _flat(node: Node, path: Path = ()) -> dict[Path, object]:
    """Return the scalars of a node by path, keys in lower case, as (text, whether it is null)."""
    if isinstance(node, Scalar):
        return {path: (node.text, node.null)}
    inner = (
        node.entries.items()
        if isinstance(node, Map)
        else ((str(number), item) for number, item in enumerate(node.items))
    )
    flat: dict[Path, object] = {}
    for name, value in inner:
        flat |= _flat(value, (*path, name.lower()))
    return flat
