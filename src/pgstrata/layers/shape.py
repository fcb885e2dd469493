"""From nodes to a layer: every key is looked up in the table, every value decoded by the type of
its key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path as Folder
from typing import Any, TypeAlias

from pgstrata.errors import EnvInterpolationError
from pgstrata.layers.document import Document
from pgstrata.layers.excerpt import Start, with_excerpts
from pgstrata.layers.functions import called, described
from pgstrata.layers.nodes import Map, Node, Scalar, Sequence, Span
from pgstrata.layers.references import KINDS, References, describe
from pgstrata.model import Finding, Layer, Leaf, Origin, Secret, Severity, Token, Unresolved, Value
from pgstrata.schema.decode import decode, may_hold_password
from pgstrata.schema.keys import SECRET_STORES, SECTIONS, Key, Section
from pgstrata.schema.names import (
    TARGET_SECTIONS,
    candidates,
    connection_name_problem,
    is_showable,
    key_of,
    parameter_problems,
    shown,
)
from pgstrata.schema.suggest import closest

# A guess takes a tenth of a millisecond and more, and a file with so many slips has none.
MAX_GUESSES = 200


def shape(document: Document, references: References) -> tuple[Layer, list[Finding]]:
    """Return the layer that a document is, and everything that is wrong with it, each with its
    source line.
    """
    shaper = _Shaper(document, references)
    tree = shaper.sections(document.root, SECTIONS, ())
    found = [*document.findings, *shaper.findings]
    # The place of a duplicate key is not in the tree, which holds the first one.
    twice = {_start(f.origin) for f in document.findings if f.rule == "duplicate-key"}
    findings = with_excerpts(found, document, shaper.harmless | twice) if found else []
    return Layer(document.layer, document.source, tree), findings


def _start(origin: Origin) -> Start:
    return origin.line - 1, origin.column - 1


Path: TypeAlias = tuple[str, ...]


def attach_lines(
    findings: Iterable[Finding], document_of: Callable[[Origin], Document | None]
) -> list[Finding]:
    """Return findings with their source lines, where they have a place and no line yet.

    ``document_of`` gives the document of a place, or None where there is none that can be shown.
    """
    done: list[Finding] = []
    by_source: dict[str, list[Finding]] = {}
    for finding in findings:
        placed = finding.origin.line and not finding.excerpt
        (by_source.setdefault(finding.origin.source, []) if placed else done).append(finding)
    for own in by_source.values():
        document = document_of(own[0].origin)
        done += _with_lines(document, own) if document else own
    return done


def _with_lines(document: Document, findings: Iterable[Finding]) -> list[Finding]:
    shaper = _Shaper(document, References({}, Folder()))
    shaper.sections(document.root, SECTIONS, ())
    return with_excerpts(findings, document, shaper.harmless)


@dataclass
class _Shaper:
    document: Document
    references: References
    findings: list[Finding] = field(default_factory=list)
    harmless: set[Start] = field(default_factory=set)
    unknown: int = 0

    def sections(self, node: Map, known: Mapping[str, Section], path: Path) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        for name, value in node.entries.items():
            section, here = known.get(name), (*path, name)
            self._allow(node.keys[name], name)
            if section is None:
                self._unknown("unknown-section", "section", node.keys[name], here, known)
            elif section.only_in not in (None, self.document.layer):
                problem = f"belongs into {_home(section)}"
                self._report("misplaced-section", problem, node.keys[name], here)
            elif (shaped := self._section(section, value, here)) is not None:
                tree[name] = shaped
        return tree

    def _section(self, section: Section, node: Node, path: Path) -> Any:
        """Return a tree or a leaf; None for a section that says nothing."""
        if section.key is not None:
            return self._leaf(section.key, node, path)
        if section.shape == "list":
            return self._list(section, node, path)
        if isinstance(node, Scalar) and node.null:
            return self._null(node)
        if not isinstance(node, Map):
            self._report("invalid-type", "must be a map of keys", node.span, path)
            return None
        if section.shape == "connections":
            return self._connections(node, path)
        return self._keys(section, node, path)

    def _null(self, node: Scalar) -> Leaf | None:
        # An empty section is one whose lines are all commented out. Only a written null clears it.
        return Leaf(None, self.document.origin(node.span)) if node.text else None

    def _connections(self, node: Map, path: Path) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        for name, value in node.entries.items():
            here = (*path, name)
            self._allow(node.keys[name], name)
            if problem := connection_name_problem(name):
                self._report("invalid-name", problem, node.keys[name], here)
            elif isinstance(value, Map):
                tree[name] = self.sections(value, TARGET_SECTIONS, here)
            elif isinstance(value, Scalar) and value.null:
                tree[name] = self._null(value) or {}
            else:
                self._report("invalid-type", "must be a map of sections", value.span, here)
        return tree

    def _keys(self, section: Section, node: Map, path: Path) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        for name, value in node.entries.items():
            key = key_of(section, name)
            self._allow(node.keys[name], name)
            if key is None:
                self._unknown_key(section, node.keys[name], (*path, name))
                continue
            here = (*path, key.name)
            if key.name in tree:
                problem = "the same parameter in another spelling"
                self._report("duplicate-key", problem, node.keys[name], here)
            tree[key.name] = leaf = self._leaf(key, value, here)
            if section.shape == "parameters" and isinstance(leaf.value, str):
                for rule, severity, message in parameter_problems(key.name, leaf.value):
                    self._report(rule, message, value.span, here, severity=severity, bare=True)
        return tree

    def _leaf(self, key: Key, node: Node, path: Path) -> Leaf:
        origin = self.document.origin(node.span)
        operand = _operand(key, node)
        if operand is None:
            self._report("invalid-type", _expected(key), node.span, path)
            return Leaf(None, origin)
        kind, scalar = operand
        if kind == "text" and scalar.null:
            return Leaf(None, origin)
        if scalar.given is not None:
            return Leaf(self._given(key, scalar.given, scalar.span, path), origin)
        try:
            read = self.references.reader(kind, scalar.text, secret=key.secret)
        except EnvInterpolationError as error:
            self._report("interpolation", str(error), scalar.span, path, hint=error.hint)
            return Leaf(None, origin)
        self._allow_value(key, node, kind)
        if key.secret:
            secret = _secret(read, ".".join(path), origin)
            return Leaf(Secret(secret, source=describe(kind, scalar.text)), origin)
        return Leaf(self._value(key, read, scalar.span, path), origin)

    def _given(self, key: Key, given: Secret, span: Span, path: Path) -> Value | Unresolved:
        """Return the value that a function of the calling code makes: of a secret anew at each use,
        of all else now.
        """
        name = ".".join(path)
        read = called(given, name)
        if not key.secret:
            return self._value(key, read, span, path)
        assert given.function is not None
        secret = _secret(read, name, self.document.origin(span))
        return Token(secret, maker=given.function, source=described(given))

    def _value(
        self, key: Key, read: Callable[[], str], span: Span, path: Path
    ) -> Value | Unresolved:
        try:
            text = read()
        except EnvInterpolationError as error:
            return Unresolved(str(error), error.hint)
        try:
            return decode(key, text)
        except ValueError as error:
            self._report("invalid-value", str(error), span, path)
            return None

    def _list(self, section: Section, node: Node, path: Path) -> Leaf:
        origin = self.document.origin(node.span)
        if isinstance(node, Scalar) and node.null:
            return Leaf(None, origin)
        if not isinstance(node, Sequence):
            self._report("invalid-type", "must be a list", node.span, path)
            return Leaf(None, origin)
        if section.name == "secret_stores":
            self._stores(node, path)
        self._allow_keys(node)
        return Leaf(_plain(node), origin, tuple(self.document.origin(i.span) for i in node.items))

    def _stores(self, node: Sequence, path: Path) -> None:
        for item in node.items:
            if not isinstance(item, Scalar) or item.text not in SECRET_STORES:
                problem = f"stores are {' and '.join(SECRET_STORES)}"
                self._report("invalid-value", problem, item.span, path)

    def _unknown_key(self, section: Section, span: Span, path: Path) -> None:
        parameters = section.shape == "parameters"
        rule = "unknown-parameter" if parameters else "unknown-key"
        what = "PostgreSQL parameter" if parameters else f"key of {section.name}"
        self._unknown(rule, what, span, path, candidates(section))

    def _unknown(self, rule: str, what: str, span: Span, path: Path, known: Iterable[str]) -> None:
        name = path[-1]
        self.unknown += 1
        guesses = is_showable(name) and self.unknown <= MAX_GUESSES
        guess = closest(name, known) if guesses else None
        hint = f"did you mean {guess!r}?" if guess else ""
        here = path if is_showable(name) else path[:-1]
        self._report(rule, f"{shown(name)} is not a {what}", span, here, hint=hint, bare=True)

    def _report(
        self,
        rule: str,
        message: str,
        span: Span,
        path: Path,
        *,
        severity: Severity = "error",
        hint: str = "",
        bare: bool = False,
    ) -> None:
        key = ".".join(path)
        message = message if bare else f"{key}: {message}"
        place = self.document.origin(span)
        self.findings.append(Finding(rule, message, place, severity, key=key, hint=hint))

    def _allow(self, span: Span, name: str) -> None:
        """Let excerpts show a key, if it has the form of one."""
        if is_showable(name):
            self.harmless.add((span.line, span.column))

    def _allow_keys(self, node: Node) -> None:
        """Let excerpts show the keys in a list, and none of its values: a policy may name one."""
        if isinstance(node, Map):
            for name, span in node.keys.items():
                self._allow(span, name)
        for inner in _inner(node):
            self._allow_keys(inner)

    def _allow_value(self, key: Key, node: Node, kind: str) -> None:
        """Let excerpts show a reference, and a text that is no secret."""
        if isinstance(node, Map):
            for span in node.keys.values():
                self.harmless.add((span.line, span.column))
        if kind == "text" and key.secret:
            return
        for scalar in _scalars(node):
            if not may_hold_password(scalar.text):
                self.harmless.add((scalar.span.line, scalar.span.column))


def _scalars(node: Node) -> Iterable[Scalar]:
    if isinstance(node, Scalar):
        return (node,)
    return [scalar for item in _inner(node) for scalar in _scalars(item)]


def _inner(node: Node) -> Iterable[Node]:
    if isinstance(node, Scalar):
        return ()
    return node.items if isinstance(node, Sequence) else node.entries.values()


def _plain(node: Node) -> Any:
    """Return a node as tuples, dicts and texts."""
    if isinstance(node, Sequence):
        return tuple(_plain(item) for item in node.items)
    if isinstance(node, Map):
        return {name: _plain(value) for name, value in node.entries.items()}
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


def _secret(read: Callable[[], str], key: str, origin: Origin) -> Callable[[], str]:
    """Return a reader of a secret that says in its errors whose secret it is.

    Its errors are raised where no local variable holds the text, which a traceback might show.
    """

    def reveal() -> str:
        problem, hint = "holds a NUL character, which PostgreSQL cannot take", ""
        try:
            text = read()
            if "\0" not in text:
                return text
            del text
        except EnvInterpolationError as error:
            problem, hint = str(error), error.hint
        raise EnvInterpolationError(f"{origin}: {key}: {problem}", hint=hint)

    return reveal


def _home(section: Section) -> str:
    return "base.yaml" if section.only_in == "base" else "an environment's own file"
