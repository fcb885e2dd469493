"""One YAML file: its text as nodes, and what is wrong with it as YAML."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from pgstrata.layers.content import read_at_most
from pgstrata.layers.nodes import EMPTY, Builder, Map, Problem, Span
from pgstrata.model import Finding, LayerName, Origin
from pgstrata.schema.keys import CONNECTION, POOL, SECTIONS

MAX_BYTES = 4 * 1024 * 1024

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one is missing from some builds
_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")  # YAML's own, and not those of splitlines
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")
_QUOTED = re.compile(r"""'[^']*'|"[^"]*\"""")
_KEY = re.compile(r"\s*(?:- )?([\w-]+)\s*:")


@dataclass(frozen=True, slots=True)
class Document:
    """One parsed file. ``source`` is its name as people are shown it.

    ``scalars`` are the places of all single values in ``lines``, by which an excerpt knows what to
    mask. Its repr shows nothing of the text, of which any part may be a secret.
    """

    layer: LayerName
    source: str
    root: Map = field(default=EMPTY, repr=False)
    lines: tuple[str, ...] = field(default=(), repr=False)
    scalars: tuple[Span, ...] = field(default=(), repr=False)
    findings: tuple[Finding, ...] = ()

    def origin(self, span: Span) -> Origin:
        """Return the place of ``span``, counted from 1."""
        return Origin(self.layer, self.source, span.line + 1, span.column + 1)


def parse(content: bytes, layer: LayerName, source: str) -> Document:
    """Parse one YAML file. One that is no YAML is an empty map and a finding; an empty file is an
    empty map.

    Nothing is raised: a traceback with locals would show the text.
    """
    text, problem = _decode(content)
    if problem is not None:
        return Document(layer, source, findings=(_finding(problem, layer, source),))
    builder = Builder(yaml.parse(text, Loader=_LOADER))
    try:
        root = builder.build()
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        return Document(layer, source, findings=(_syntax_finding(error, layer, source, text),))
    return Document(
        layer,
        source,
        root,
        tuple(_BREAK.split(text)),
        tuple(builder.scalars),
        tuple(_finding(problem, layer, source) for problem in builder.problems),
    )


def content_of(path: Path) -> bytes:
    """Return what a file holds, of a large one only enough to refuse it. Raises ``OSError``."""
    return read_at_most(path, MAX_BYTES)


def _decode(content: bytes) -> tuple[str, Problem | None]:
    if len(content) > MAX_BYTES:
        return "", Problem("yaml-syntax", f"larger than {MAX_BYTES} bytes", EMPTY.span)
    try:
        return content.decode("utf-8-sig"), None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start)
        column = error.start - content.rfind(b"\n", 0, error.start) - 1
        place = Span(line, column, line, column)
    return "", Problem("yaml-syntax", "not UTF-8 text; save the file as UTF-8", place)


def _finding(problem: Problem, layer: LayerName, source: str) -> Finding:
    place = Origin(layer, source, problem.span.line + 1, problem.span.column + 1)
    return Finding(problem.rule, problem.message, place, key=problem.key)


def _syntax_finding(error: Exception, layer: LayerName, source: str, text: str) -> Finding:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "not readable as YAML"
    number, column = (mark.line, mark.column) if mark else (0, 0)
    lines = _BREAK.split(text)
    if isinstance(error, yaml.reader.ReaderError):  # it has no mark
        problem = "holds a control character"
        number, column = _control_character(lines)
    return Finding(
        "yaml-syntax",
        _QUOTED.sub(_unless_telling, problem),
        Origin(layer, source, number + 1, column + 1),
        hint="put texts with special characters in quotes",
        excerpt=_key_only(lines[number]) if number < len(lines) else "",
    )


def _unless_telling(quoted: re.Match[str]) -> str:
    """Return a quoted character as it is if YAML itself would have it there: any other may be part
    of a password that broke the syntax.
    """
    return quoted[0] if quoted[0] in ("','", "']'", "'}'", "':'") else "a character"


def _control_character(lines: list[str]) -> tuple[int, int]:
    """Return the place of the first character that no YAML may hold."""
    for number, line in enumerate(lines):
        if found := _CONTROL.search(line):
            return number, found.start()
    return 0, 0


def _key_only(line: str) -> str:
    """Return the key of a line that does not parse, if it is one that a file may have; all else may
    be a secret.
    """
    key = _KEY.match(line)
    known = key is not None and (key[1] in SECTIONS or key[1] in CONNECTION or key[1] in POOL)
    return f"{key[0]} …" if key and known else ""
