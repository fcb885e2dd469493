"""The lines after a value: blank ones and comments, up to what follows.

ruamel.yaml hangs them on the last part of the value before them, with which they would be replaced,
or be left above a new key. They belong to what follows, and so go to the end of what is put in.
"""

from __future__ import annotations

from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import CommentMark
from ruamel.yaml.scalarstring import FoldedScalarString, LiteralScalarString
from ruamel.yaml.tokens import CommentToken


def taken(tree: CommentedMap, name: str) -> str:
    """Take the lines away that come after a key: after its value, or, where there is no such key,
    after the last one. A flow map has none.
    """
    if tree.fa.flow_style() or not tree:
        return ""
    holder, key = _last(tree, name if name in tree else list(tree)[-1])
    hung = holder.ca.items.get(key)
    slot = _slot(holder)
    if not hung or hung[slot] is None:
        return ""
    text = hung[slot].value
    if isinstance(holder[key], FoldedScalarString | LiteralScalarString):
        # Such a text ends with its line, and has no comment beside it.
        indented = " " * hung[slot].start_mark.column if text.startswith("#") else ""
        text = f"\n{indented}{text}"
    beside, end, lines = text.partition("\n")
    hung[slot] = CommentToken(beside + end, hung[slot].start_mark) if beside else None
    return str(end + lines)


def give(tree: CommentedMap, name: str, lines: str) -> None:
    """Put such lines after a key that has a value on one line."""
    if not lines.strip("\n") and len(lines) < 2:  # noqa: PLR2004  # one line end is there anyway
        return
    holder, key = _last(tree, name)
    hung = holder.ca.items.setdefault(key, [None, None, None, None])
    before = hung[_slot(holder)]
    beside = before.value.rstrip("\n") if before else ""
    mark = before.start_mark if before else CommentMark(0)
    hung[_slot(holder)] = CommentToken(beside + lines, mark)


def _last(holder: Any, key: Any) -> tuple[Any, Any]:
    """Return the last part of a value, as what holds it and its key or number there."""
    inner = holder[key]
    if not isinstance(inner, CommentedMap | CommentedSeq) or not inner or inner.fa.flow_style():
        return holder, key
    return _last(inner, list(inner)[-1] if isinstance(inner, CommentedMap) else len(inner) - 1)


def _slot(holder: Any) -> int:
    """Return where ruamel.yaml keeps what comes after a part."""
    return 0 if isinstance(holder, CommentedSeq) else 2
