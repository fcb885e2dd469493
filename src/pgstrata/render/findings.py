"""Findings as people read them in a terminal: place, message, source line, caret, hint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from pgstrata.model import Finding


def text(findings: Iterable[Finding]) -> str:
    """Return all findings, each with its source line and a caret where there is one."""
    return "\n".join(_one(finding) for finding in findings)


def _one(finding: Finding) -> str:
    lines = [str(finding)]
    if finding.excerpt:
        number = str(finding.origin.line)
        margin = " " * len(number)
        # A tab before the caret must be a tab there too, or the caret points elsewhere.
        before = finding.excerpt[: finding.origin.column - 1]
        indent = "".join("\t" if character == "\t" else " " for character in before)
        lines += [f"  {number} | {finding.excerpt}", f"  {margin} | {indent}^"]
    if finding.hint:
        lines.append(f"  hint: {finding.hint}")
    return "\n".join(lines)


def counts(findings: Sequence[Finding]) -> str:
    """Return how many there are of each severity, e.g. ``2 errors, 1 warning``."""
    found = Counter(finding.severity for finding in findings)
    said = [
        f"{found[severity]} {severity}{'s' if found[severity] != 1 else ''}"
        for severity in ("error", "warning", "info")
        if found[severity]
    ]
    return ", ".join(said) or "no findings"
