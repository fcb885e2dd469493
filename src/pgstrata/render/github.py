"""Findings as GitHub Actions shows them beside the code: workflow commands."""

from __future__ import annotations

from collections.abc import Iterable

from pgstrata.model import Finding

_LEVELS = {"error": "error", "warning": "warning", "info": "notice"}


def text(findings: Iterable[Finding]) -> str:
    """Return one workflow command for each finding."""
    return "\n".join(_one(finding) for finding in findings)


def _one(finding: Finding) -> str:
    origin = finding.origin
    place = {"file": origin.source, "line": origin.line, "col": origin.column}
    properties = ",".join(
        f"{name}={_escaped(str(value))}" for name, value in place.items() if value
    )
    message = f"{finding.message}; {finding.hint}" if finding.hint else finding.message
    title = _escaped(finding.rule)
    return f"::{_LEVELS[finding.severity]} {properties},title={title}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escaped(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
