"""A closed schema over YAML nodes: every finding with its line and column, raised at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import yaml

from pgstrata.errors import InvalidConfigError
from pgstrata.model import Finding, Origin

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterator, Mapping, Sequence

RULE = "sealed-file"
HINT = "restore the file from version control, and change it only with `pgstrata secret`"

_MAX_DEPTH = 4  # the file, a section, an item, its fields
_T = TypeVar("_T")

# the C loader is many times faster, and some builds of PyYAML lack it
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Shape(NamedTuple):
    """What the text of a field must look like, and how to say that."""

    pattern: re.Pattern[str]
    words: str


class Findings:
    """The findings of one file; ``source`` is its name in their origins."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._found: list[Finding] = []

    def add(self, message: str, node: yaml.Node) -> None:
        """Note what is wrong with a node, and go on."""
        self._add(message, *_at(node.start_mark))

    def refuse(self, message: str, line: int, column: int) -> InvalidConfigError:
        """Return the error to raise at once: what follows this place means nothing."""
        self._add(message, line, column)
        return InvalidConfigError(self._found)

    def check(self) -> None:
        """Raise ``InvalidConfigError`` if anything was found."""
        if self._found:
            raise InvalidConfigError(self._found)

    def _add(self, message: str, line: int, column: int) -> None:
        origin = Origin("sealed", self.source, line, column)
        self._found.append(Finding(RULE, message, origin, hint=HINT))


def compose(content: str, findings: Findings) -> yaml.Node:
    """Return the one document of a YAML text. Raises ``InvalidConfigError``.

    Instead of ``yaml.compose``, which follows any nesting down the stack of C until it overflows
    and kills the process.
    """
    try:
        events = iter(yaml.parse(content, Loader=_LOADER))
        next(events)
        if isinstance(next(events), yaml.DocumentStartEvent):
            return _node(next(events), events, findings, depth=1)
    except yaml.MarkedYAMLError as error:
        raise findings.refuse(
            f"this is not YAML: {error.problem}", *_at(error.problem_mark)
        ) from None
    except yaml.YAMLError:
        raise findings.refuse("this is not YAML", 1, 1) from None
    raise findings.refuse("the file is empty", 1, 1)


def _node(
    event: yaml.Event, events: Iterator[yaml.Event], findings: Findings, depth: int
) -> yaml.Node:
    start: Any = event.start_mark  # typed otherwise than the marks of nodes, and the same
    end: Any = event.end_mark
    if depth > _MAX_DEPTH:
        raise findings.refuse("this is nested too deeply", *_at(start))
    if isinstance(event, yaml.ScalarEvent):
        return yaml.ScalarNode("", event.value, start, end)
    if not isinstance(event, yaml.CollectionStartEvent):
        raise findings.refuse("a sealed file holds no alias", *_at(start))
    inside = []
    while not isinstance(inner := next(events), yaml.CollectionEndEvent):
        inside.append(_node(inner, events, findings, depth + 1))
    if isinstance(event, yaml.SequenceStartEvent):
        return yaml.SequenceNode("", inside, start, end)
    pairs = list(zip(inside[::2], inside[1::2], strict=True))
    return yaml.MappingNode("", pairs, start, end)


def _at(mark: Any) -> tuple[int, int]:
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def fields(node: yaml.Node, names: Sequence[str], findings: Findings) -> dict[str, yaml.Node]:
    """Return the values of a map by name; each of ``names`` once, and no other."""
    if not isinstance(node, yaml.MappingNode):
        findings.add("a map is expected here", node)
        return {}
    values: dict[str, yaml.Node] = {}
    for name_node, value in node.value:
        name = str(name_node.value)
        if name in values:
            findings.add(f"{name!r} is here twice", name_node)
        elif name not in names:
            findings.add(f"unknown field {name!r}", name_node)
        values[name] = value
    for name in names:
        if name not in values:
            findings.add(f"{name!r} is missing", node)
    return values


def texts(node: yaml.Node, shapes: Mapping[str, Shape], findings: Findings) -> dict[str, str]:
    """Return the texts of a map, each in its shape; what is missing or wrong is empty."""
    values = fields(node, tuple(shapes), findings)
    return {
        name: text(values[name], shape, name, findings) if name in values else ""
        for name, shape in shapes.items()
    }


def text(node: yaml.Node, shape: Shape, name: str, findings: Findings) -> str:
    """Return the text of a scalar as written; empty if it has another shape."""
    if isinstance(node, yaml.ScalarNode) and shape.pattern.fullmatch(node.value):
        return str(node.value)
    findings.add(f"{name!r} must be {shape.words}", node)
    return ""


def items(
    node: yaml.Node, read: Callable[[yaml.Node, Findings], _T], findings: Findings
) -> tuple[_T, ...]:
    """Return what ``read`` makes of each item of a list."""
    if not isinstance(node, yaml.SequenceNode):
        findings.add("a list is expected here", node)
        return ()
    return tuple(read(item, findings) for item in node.value)
