"""Findings as people read them in a terminal: place, message, source line, caret, hint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from pgstrata.model import Finding, Severity
from pgstrata.render.columns import width

# ANSI: bold red, bold yellow, bold.
_COLOURS: dict[Severity, str] = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m", "info": "\x1b[1m"}
_PLAIN = "\x1b[0m"


def text(findings: Iterable[Finding], *, colour: bool = False) -> str:
    """Return all findings, each with its source line and a caret where there is one."""
    return "\n".join(_one(finding, colour=colour) for finding in findings)


def _one(finding: Finding, *, colour: bool) -> str:
    start, end = (_COLOURS[finding.severity], _PLAIN) if colour else ("", "")
    what = f"{start}{finding.severity}[{finding.rule}]{end}"
    lines = [f"{finding.origin}: {what} {finding.message}"]
    if finding.excerpt:
        number = str(finding.origin.line)
        indent = _blank(finding.excerpt[: (finding.caret or finding.origin.column) - 1])
        lines.append(f"  {number} | {finding.excerpt}")
        lines.append(f"  {' ' * len(number)} | {indent}{start}^{end}")
    if finding.hint:
        lines.append(f"  hint: {finding.hint}")
    return "\n".join(lines)


def _blank(text: str) -> str:
    """Return spaces as wide as ``text``. A tab stays one, or the caret would point elsewhere."""
    return "".join("\t" if character == "\t" else " " * width(character) for character in text)


def counts(findings: Sequence[Finding]) -> str:
    """Return how many there are of each severity, e.g. ``2 errors, 1 warning``."""
    found = Counter(finding.severity for finding in findings)
    said = [
        f"{found[severity]} {severity}{'s' if found[severity] != 1 else ''}"
        for severity in ("error", "warning", "info")
        if found[severity]
    ]
    return ", ".join(said) or "no findings"
