"""Annotations of GitHub Actions: workflow commands, one for each finding."""

from __future__ import annotations

from collections.abc import Iterable

from pgstrata.check.report import Report, merged
from pgstrata.model import Finding
from pgstrata.render.statuses import place, summary

_LEVELS = {"error": "error", "warning": "warning", "info": "notice"}


def render(report: Report) -> str:
    """Return one workflow command for each finding, and one notice with the summary."""
    lines = []
    for finding in merged(report.findings):
        file, line, column = place(report, finding)
        said = f"{finding.message} [{finding.environment}]"
        lines.append(_command(finding, {"file": file, "line": line, "col": column}, said))
    notice = "\n".join([summary(report), *(f"not checked: {what}" for what in report.unknown)])
    lines.append(f"::notice title=pgstrata check::{_data(notice)}")
    return "\n".join(lines) + "\n"


def text(findings: Iterable[Finding]) -> str:
    """Return one workflow command for each finding."""
    return "\n".join(_command(finding, _place(finding), finding.message) for finding in findings)


def _place(finding: Finding) -> dict[str, object]:
    origin = finding.origin
    place = {"file": origin.source, "line": origin.line, "col": origin.column}
    return {name: value for name, value in place.items() if value}


def _command(finding: Finding, place: dict[str, object], message: str) -> str:
    """Return a workflow command, escaped as GitHub's own toolkit does it: ``%`` and line ends
    everywhere, in properties colons and commas too.
    """
    properties = {**place, "title": finding.rule}
    said = ",".join(f"{name}={_property(str(value))}" for name, value in properties.items())
    message += f"\n{finding.hint}" if finding.hint else ""
    return f"::{_LEVELS[finding.severity]} {said}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
