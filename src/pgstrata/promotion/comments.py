"""Comments with what they are about, to see that an edit takes none away and moves none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pgstrata.layers.document import Document
from pgstrata.layers.nodes import Map, Node, Span
from pgstrata.layers.nodes import Sequence as List

_START = re.compile(r"(?:^|(?<=\s))#")
_END = "the end"  # of the file: nothing follows


def comments(document: Document) -> list[tuple[str, str]]:
    """Return each comment and the key that it is about: the next one where it has a line to itself,
    else the first of its line, or the last before it.
    """
    keys = sorted(_keys(document.root, ""))
    found = []
    for number, line in enumerate(document.lines):
        column = _column(line, number, document.scalars)
        if column is not None:
            alone = not line[:column].strip()
            found.append((line[column:].rstrip(), _about(keys, number, alone=alone)))
    return found


def _about(keys: Sequence[tuple[int, int, str]], number: int, *, alone: bool) -> str:
    if alone:
        return next((key for line, _, key in keys if line > number), _END)
    here = next((key for line, _, key in keys if line == number), None)
    return here or next((key for line, _, key in reversed(keys) if line < number), _END)


def _column(line: str, number: int, scalars: Sequence[Span]) -> int | None:
    """Return where the comment of a line starts, which is in no value."""
    starts = (match.start() for match in _START.finditer(line))
    return next((at for at in starts if not any(_holds(it, number, at) for it in scalars)), None)


def _holds(span: Span, line: int, column: int) -> bool:
    start, end = (span.line, span.column), (span.end_line, span.end_column)
    return start <= (line, column) < end


def _keys(node: Node, path: str) -> Iterator[tuple[int, int, str]]:
    if isinstance(node, Map):
        for name, inner in node.entries.items():
            key = f"{path}.{name}"
            yield node.keys[name].line, node.keys[name].column, key
            yield from _keys(inner, key)
    elif isinstance(node, List):
        for number, item in enumerate(node.items):
            yield from _keys(item, f"{path}.{number}")
