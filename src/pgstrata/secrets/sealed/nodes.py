"""A closed schema over YAML nodes: every finding with its line and column, raised at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

import yaml

from pgstrata.errors import InvalidConfigError
from pgstrata.model import Finding, Origin

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Mapping, Sequence

RULE = "sealed-file"
HINT = "restore the file from version control, and change it only with `pgstrata secret`"

_T = TypeVar("_T")


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
        self._add(message, node.start_mark.line + 1, node.start_mark.column + 1)

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
