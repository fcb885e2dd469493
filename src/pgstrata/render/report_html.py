"""A report as one HTML file that asks for nothing else."""

from __future__ import annotations

from html import escape

from pgstrata.check.registry import EXPLANATIONS
from pgstrata.check.report import Report, merged
from pgstrata.model import Finding
from pgstrata.render.page import findings, items, page
from pgstrata.render.statuses import counts_of, summary, where

_HEADS = ["severity", "rule", "where", "environment", "finding"]


def render(report: Report) -> str:
    """Return a page with the summary, a table of findings with a filter, and the environments."""
    rows = [_row(report, finding) for finding in merged(report.findings)]
    body = [
        f"<p>{escape(summary(report))}</p>",
        findings(_HEADS, rows),
        "<h2>Environments</h2>",
        items([f"{name}: {said}" for name, said in counts_of(report).items()]),
    ]
    if report.unknown:
        body += ["<h2>Not checked</h2>", items(list(report.unknown))]
    return page("pgstrata check", "\n".join(body))


def _row(report: Report, finding: Finding) -> str:
    said = [escape(finding.message)]
    if finding.excerpt:
        said.append(f"<pre>{escape(finding.excerpt)}</pre>")
    if finding.hint:
        said.append(f"<div>{escape(finding.hint)}</div>")
    explained = EXPLANATIONS.get(finding.rule)
    why = escape(explained.why) if explained else ""
    cells = [
        f'<td class="{finding.severity}">{finding.severity}</td>',
        f'<td title="{why}">{escape(finding.rule)}</td>',
        f"<td>{escape(where(report, finding))}</td>",
        f"<td>{escape(finding.environment)}</td>",
        f"<td>{''.join(said)}</td>",
    ]
    return f"<tr>{''.join(cells)}</tr>"
