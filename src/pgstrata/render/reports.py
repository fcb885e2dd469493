"""A report of ``check`` in every format. Each renderer is a pure function from a report to text."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from pgstrata.check.report import Report, merged
from pgstrata.render import findings, github, junit, report_html, report_markdown, sarif
from pgstrata.render.statuses import counts_of, statuses, summary


def text(report: Report, *, colour: bool = False) -> str:
    """Return findings with their source lines, a line for each environment, and the summary.

    What is the same in several environments is said once.
    """
    lines = [findings.text(merged(report.findings), colour=colour)] if report.findings else []
    lines += [f"{name}: {said}" for name, said in counts_of(report).items()]
    lines += [summary(report), *(f"not checked: {what}" for what in report.unknown)]
    return "\n".join(lines) + "\n"


def as_json(report: Report) -> str:
    """Return the JSON shape of a report, with a finding for each environment. It is ASCII."""
    shape = {
        "schema_version": 1,
        "environments": [
            {"name": name, "status": status} for name, status in statuses(report).items()
        ],
        "findings": [finding.as_json() for finding in report.findings],
        "ignored": [
            {**finding.as_json(), "because": ignore.reason} for finding, ignore in report.ignored
        ],
        "accepted": [finding.as_json() for finding in report.accepted],
        "not_checked": list(report.unknown),
        "rules": list(report.ran),
    }
    return json.dumps(shape, indent=2) + "\n"


RENDERERS: Mapping[str, Callable[[Report], str]] = {
    "text": text,
    "json": as_json,
    "github": github.render,
    "sarif": sarif.render,
    "junit": junit.render,
    "markdown": report_markdown.render,
    "html": report_html.render,
}
