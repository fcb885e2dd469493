"""Markdown for a comment on a pull request, in GitHub's and GitLab's dialect."""

from __future__ import annotations

from pgstrata.check.report import Report, merged
from pgstrata.render.markdown import plain
from pgstrata.render.statuses import counts_of, summary, where


def render(report: Report) -> str:
    """Return the summary, a table of findings, and folded away the counts of each environment.

    Nothing of a finding is active: no markup, link or mention.
    """
    parts = ["### pgstrata check", "", plain(summary(report)) + "."]
    found = merged(report.findings)
    if found:
        parts += ["", "| | rule | where | environment | finding |", "|---|---|---|---|---|"]
    for finding in found:
        said = plain(finding.message) + (f"<br>{plain(finding.hint)}" if finding.hint else "")
        cells = (finding.rule, where(report, finding), finding.environment)
        row = [finding.severity, *(plain(cell) for cell in cells), said]
        parts.append(f"| {' | '.join(row)} |")
    parts += ["", "<details><summary>Environments</summary>", ""]
    parts += [f"- {plain(name)}: {said}" for name, said in counts_of(report).items()]
    parts += ["", "</details>"]
    if report.unknown:
        parts += ["", "Not checked:", "", *(f"- {plain(what)}" for what in report.unknown)]
    return "\n".join(parts) + "\n"
