"""Markdown for a comment on a pull request, in GitHub's and GitLab's dialect."""

from __future__ import annotations

import html
import re

from pgstrata.check.report import Report, merged
from pgstrata.render.statuses import counts_of, summary, where

_ACTIVE = re.compile(r"([\\`*_{}\[\]()#+!|~@-])")


def render(report: Report) -> str:
    """Return the summary, a table of findings, and folded away the counts of each environment.

    Nothing of a finding is active: no markup, link or mention.
    """
    parts = ["### pgstrata check", "", _plain(summary(report)) + "."]
    found = merged(report.findings)
    if found:
        parts += ["", "| | rule | where | environment | finding |", "|---|---|---|---|---|"]
    for finding in found:
        said = _plain(finding.message) + (f"<br>{_plain(finding.hint)}" if finding.hint else "")
        cells = (finding.rule, where(report, finding), finding.environment)
        row = [finding.severity, *(_plain(cell) for cell in cells), said]
        parts.append(f"| {' | '.join(row)} |")
    parts += ["", "<details><summary>Environments</summary>", ""]
    parts += [f"- {_plain(name)}: {said}" for name, said in counts_of(report).items()]
    parts += ["", "</details>"]
    if report.unknown:
        parts += ["", "Not checked:", "", *(f"- {_plain(what)}" for what in report.unknown)]
    return "\n".join(parts) + "\n"


def _plain(text: str) -> str:
    return _ACTIVE.sub(r"\\\1", html.escape(" ".join(text.split()), quote=False))
