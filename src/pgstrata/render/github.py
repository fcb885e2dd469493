"""Annotations of GitHub Actions: workflow commands, one for each finding."""

from __future__ import annotations

from pgstrata.check.report import Report, merged
from pgstrata.render.statuses import place, summary

_LEVELS = {"error": "error", "warning": "warning", "info": "notice"}


def render(report: Report) -> str:
    """Return one workflow command for each finding, and one notice with the summary.

    Escaped as GitHub's own toolkit does it: ``%`` and line ends everywhere, in properties colons
    and commas too.
    """
    lines = []
    for finding in merged(report.findings):
        file, line, column = place(report, finding)
        properties = {"file": file, "line": line, "col": column, "title": f"{finding.rule}"}
        said = ",".join(f"{name}={_property(str(text))}" for name, text in properties.items())
        message = f"{finding.message} [{finding.environment}]"
        message += f"\n{finding.hint}" if finding.hint else ""
        lines.append(f"::{_LEVELS[finding.severity]} {said}::{_data(message)}")
    notice = "\n".join([summary(report), *(f"not checked: {what}" for what in report.unknown)])
    lines.append(f"::notice title=pgstrata check::{_data(notice)}")
    return "\n".join(lines) + "\n"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
