"""Source lines as findings show them: whatever is not known to be harmless is masked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import TypeAlias

from pgstrata.layers.document import Document
from pgstrata.layers.nodes import Span
from pgstrata.model import MASK, Finding

Start: TypeAlias = tuple[int, int]  # the 0-based line and column of a scalar


def with_excerpts(
    findings: Iterable[Finding], document: Document, harmless: AbstractSet[Start]
) -> list[Finding]:
    """Return the findings, each with its source line, and the column in it that is meant.

    Every scalar that does not start at a place in ``harmless`` is masked, and comments are cut off:
    an unquoted password with `` #`` in it is one.
    """
    lines = _Lines(document, harmless)
    return [finding if finding.excerpt else lines.attach(finding) for finding in findings]


class _Lines:
    def __init__(self, document: Document, harmless: AbstractSet[Start]) -> None:
        self._lines = document.lines
        self._harmless = harmless
        self._spans: dict[int, list[Span]] = defaultdict(list)
        for span in document.scalars:
            for number in range(span.line, span.end_line + 1):
                self._spans[number].append(span)

    def attach(self, finding: Finding) -> Finding:
        number, column = finding.origin.line - 1, finding.origin.column - 1
        if not 0 <= number < len(self._lines):
            return finding
        excerpt, caret = self._masked(number, column)
        return replace(finding, excerpt=excerpt, caret=caret + 1)

    def _masked(self, number: int, column: int) -> tuple[str, int]:
        """Return the masked line, and where ``column`` has moved to by that."""
        line = self._lines[number]
        result, position, shift = "", 0, 0
        for span in self._spans[number]:
            start = span.column if span.line == number else 0
            end = span.end_column if span.end_line == number else len(line)
            if start >= end:
                continue  # an empty value, or the end of a block of text
            if "#" in line[position:start]:
                break
            safe = (span.line, span.column) in self._harmless
            result += line[position:start] + (line[start:end] if safe else MASK)
            position = end
            if column >= end:
                shift = len(result) - end
        return (result + line[position:].partition("#")[0]).rstrip(), column + shift
