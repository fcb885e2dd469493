"""From nodes to a layer: every key is looked up in the table, every value decoded by the type of
its key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pgstrata.errors import EnvInterpolationError
from pgstrata.layers.document import Document, Map, Node, Scalar, Sequence, Span
from pgstrata.layers.references import KINDS, References, describe
from pgstrata.model import MASK, Finding, Layer, Leaf, Origin, Secret, Unresolved, Value
from pgstrata.schema import parameters
from pgstrata.schema.decode import decode
from pgstrata.schema.keys import POOL, SECRET_STORES, SECTIONS, Key, Section
from pgstrata.schema.libpq import connection_keys
from pgstrata.schema.suggest import closest

MAX_NAME = 40
CONNECTION_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
TARGET_SECTIONS = {name: section for name, section in SECTIONS.items() if section.target}


def key_of(section: Section, name: str) -> Key | None:
    """Return the key ``name`` of a section, or None where the section has none of that name."""
    if section.shape == "parameters":
        return parameter_key(name)
    return keys_of(section).get(name)


def keys_of(section: Section) -> Mapping[str, Key]:
    """Return the keys of a section that has a table of them."""
    return connection_keys() if section.shape == "connection" else POOL


def parameter_key(name: str) -> Key | None:
    """Return the key of a PostgreSQL parameter, or None for one that no server has."""
    found = parameters.find(name)
    if found is None and not parameters.is_custom(name):
        return None
    return Key(found.name.lower() if found else name, "text", "A PostgreSQL parameter.")


def shape(document: Document, references: References) -> tuple[Layer, list[Finding]]:
    """Return the layer that a document is, and everything that is wrong with it, each with its
    source line.
    """
    shaper = _Shaper(document, references)
    tree = shaper.sections(document.root, SECTIONS)
    findings = [
        finding if finding.excerpt else replace(finding, excerpt=shaper.excerpt(finding.origin))
        for finding in (*document.findings, *shaper.findings)
    ]
    return Layer(document.layer, document.source, tree), findings


@dataclass
class _Shaper:
    document: Document
    references: References
    findings: list[Finding] = field(default_factory=list)
    hidden: list[Span] = field(default_factory=list)
    path: tuple[str, ...] = ()

    def sections(self, node: Map, known: Mapping[str, Section]) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        for name, value in node.entries.items():
            section = known.get(name)
            if section is None:
                self._unknown("unknown-section", "section", name, node, known)
            elif section.only_in not in (None, self.document.layer):
                self._report(
                    "misplaced-section", f"belongs into {_home(section)}", node.keys[name], name
                )
            else:
                self._section(tree, section, value)
        return tree

    def _section(self, tree: dict[str, Any], section: Section, node: Node) -> None:
        outer, self.path = self.path, (*self.path, section.name)
        if section.key is not None:
            tree[section.name] = self._leaf(section.key, node)
        elif section.shape == "list":
            tree[section.name] = self._list(section, node)
        elif isinstance(node, Scalar) and node.null:
            # An empty section is one whose lines are all commented out. Only a written null clears
            # it.
            if node.text:
                tree[section.name] = Leaf(None, self.document.origin(node.span))
        elif not isinstance(node, Map):
            self._report("invalid-type", "must be a map of keys", node.span)
        elif section.shape == "connections":
            tree[section.name] = self._connections(node)
        else:
            tree[section.name] = self._keys(section, node)
        self.path = outer

    def _connections(self, node: Map) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        for name, value in node.entries.items():
            outer, self.path = self.path, (*self.path, name)
            if problem := connection_name_problem(name):
                self._report("invalid-name", problem, node.keys[name])
            elif isinstance(value, Map):
                tree[name] = self.sections(value, TARGET_SECTIONS)
            elif isinstance(value, Scalar) and value.null:
                tree[name] = Leaf(None, self.document.origin(value.span)) if value.text else {}
            else:
                self._report("invalid-type", "must be a map of sections", value.span)
            self.path = outer
        return tree

    def _keys(self, section: Section, node: Map) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        for name, value in node.entries.items():
            key = key_of(section, name)
            if key is None:
                self._hide(value)
                self._unknown_key(section, name, node)
                continue
            outer, self.path = self.path, (*self.path, key.name)
            if key.name in tree:
                self._report(
                    "duplicate-key", "the same parameter in another spelling", node.keys[name]
                )
            tree[key.name] = self._leaf(key, value)
            if section.shape == "parameters":
                self._parameter(key.name, tree[key.name])
            self.path = outer
        return tree

    def _leaf(self, key: Key, node: Node) -> Leaf:
        if key.secret:
            self._hide(node)
        origin = self.document.origin(node.span)
        operand = _operand(key, node)
        if operand is None:
            self._report("invalid-type", _expected(key), node.span)
            return Leaf(None, origin)
        kind, scalar = operand
        if kind == "text" and scalar.null:
            return Leaf(None, origin)
        try:
            read = self.references.reader(kind, scalar.text, secret=key.secret)
        except EnvInterpolationError as error:
            self._report("interpolation", str(error), scalar.span, hint=error.hint)
            return Leaf(None, origin)
        if key.secret:
            return Leaf(_secret(read, kind, scalar.text, ".".join(self.path), origin), origin)
        return Leaf(self._value(key, read, scalar.span), origin)

    def _value(self, key: Key, read: Any, span: Span) -> Value | Unresolved:
        try:
            text = read()
        except EnvInterpolationError as error:
            return Unresolved(str(error), error.hint)
        try:
            return decode(key, text)
        except ValueError as error:
            if "://" in text:
                self._hide_span(span)
            self._report("invalid-value", str(error), span)
            return None

    def _parameter(self, name: str, leaf: Leaf) -> None:
        if isinstance(leaf.value, str):
            for rule, severity, message in parameter_problems(name, leaf.value):
                self.findings.append(
                    Finding(rule, message, leaf.origin, severity, key=".".join(self.path))
                )

    def _list(self, section: Section, node: Node) -> Leaf:
        origin = self.document.origin(node.span)
        if isinstance(node, Scalar) and node.null:
            return Leaf(None, origin)
        if not isinstance(node, Sequence):
            self._report("invalid-type", "must be a list", node.span)
            return Leaf(None, origin)
        if section.name == "secret_stores":
            self._stores(node)
        return Leaf(plain(node), origin)

    def _stores(self, node: Sequence) -> None:
        for item in node.items:
            if not isinstance(item, Scalar) or item.text not in SECRET_STORES:
                self._report(
                    "invalid-value", f"stores are {' and '.join(SECRET_STORES)}", item.span
                )

    def _unknown_key(self, section: Section, name: str, node: Map) -> None:
        if section.shape == "parameters":
            self._unknown(
                "unknown-parameter", "PostgreSQL parameter", name, node, parameters.names()
            )
        else:
            self._unknown("unknown-key", f"key of {section.name}", name, node, keys_of(section))

    def _unknown(self, rule: str, what: str, name: str, node: Map, known: Iterable[str]) -> None:
        self._hide(node.entries[name])
        guess = closest(name, known)
        self._report(
            rule,
            f"{name!r} is not a {what}",
            node.keys[name],
            name,
            hint=f"did you mean {guess!r}?" if guess else "",
        )

    def _report(self, rule: str, message: str, span: Span, *more: str, hint: str = "") -> None:
        key = ".".join((*self.path, *more))
        prefix = "" if message.startswith("'") else f"{key}: "
        self.findings.append(
            Finding(rule, prefix + message, self.document.origin(span), key=key, hint=hint)
        )

    def _hide(self, node: Node) -> None:
        if isinstance(node, Map):
            for value in node.entries.values():
                self._hide(value)
        elif isinstance(node, Sequence):
            for value in node.items:
                self._hide(value)
        else:
            self._hide_span(node.span)

    def _hide_span(self, span: Span) -> None:
        self.hidden.append(span)

    def excerpt(self, origin: Origin) -> str:
        """Return the source line of ``origin`` with all masked in it that may be a secret."""
        number = origin.line - 1
        if not 0 <= number < len(self.document.lines):
            return ""
        line = self.document.lines[number]
        on_line = [span for span in self.hidden if span.line <= number <= span.end_line]
        for span in sorted(on_line, key=lambda span: -span.column if span.line == number else 0):
            start = span.column if span.line == number else 0
            end = span.end_column if span.end_line == number else len(line)
            line = f"{line[:start]}{MASK}{line[end:]}" if start < end else line
        return line


def connection_name_problem(name: str) -> str:
    """Return why ``name`` cannot name a connection, or nothing."""
    if name == "default":
        return "'default' is the connection that the top-level sections describe"
    if not CONNECTION_NAME.fullmatch(name) or len(name) > MAX_NAME:
        # Variables carry names in upper case and join them with two underscores.
        return "names are lower-case letters, digits and single underscores"
    return ""


def parameter_problems(name: str, text: str) -> Iterable[tuple[str, Any, str]]:
    """Yield (rule, severity, message) for whatever is wrong with a session setting."""
    parameter = parameters.find(name)
    if parameter is None:
        return
    if not parameter.settable_by_session:
        yield (
            "server-parameter",
            "error",
            f"{name} belongs to the whole server; a session cannot set it",
        )
        return
    try:
        parameters.canonical(parameter, text)
    except ValueError as error:
        yield "invalid-value", "error", f"{name}: {error}"
        return
    if parameters.lacks_unit(parameter, text):
        yield "unit", "warning", f"{name}: {text} means {text} {parameter.unit}; write the unit"


def plain(node: Node) -> Any:
    """Return a node as tuples, dicts and texts."""
    if isinstance(node, Sequence):
        return tuple(plain(item) for item in node.items)
    if isinstance(node, Map):
        return {name: plain(value) for name, value in node.entries.items()}
    return None if node.null else node.text


def _operand(key: Key, node: Node) -> tuple[str, Scalar] | None:
    """Return the kind of a value and its scalar, or None where the node cannot be a value of
    ``key``.
    """
    if isinstance(node, Scalar):
        return "text", node
    if isinstance(node, Map) and len(node.entries) == 1:
        ((kind, operand),) = node.entries.items()
        return (kind, operand) if kind in KINDS and isinstance(operand, Scalar) else None
    if key.many and isinstance(node, Sequence):
        texts = [item.text for item in node.items if isinstance(item, Scalar)]
        joined = Scalar(",".join(texts), plain=False, span=node.span)
        return ("text", joined) if len(texts) == len(node.items) else None
    return None


def _expected(key: Key) -> str:
    several = ", a list," if key.many else ""
    return f"must be a single value{several} or {{from_env: NAME}} or {{from_file: path}}"


def _secret(read: Any, kind: str, operand: str, key: str, origin: Origin) -> Secret:
    def reveal() -> str:
        try:
            return read()  # type: ignore[no-any-return]  # the reader of a reference returns text
        except EnvInterpolationError as error:
            problem, hint = str(error), error.hint
        raise EnvInterpolationError(f"{origin}: {key}: {problem}", hint=hint)

    return Secret(reveal, source=describe(kind, operand))


def _home(section: Section) -> str:
    return "base.yaml" if section.only_in == "base" else "an environment's own file"
