"""An audit as one HTML file: the matrix, capacity as a picture, and all findings."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from pgstrata.audit.model import Result, Snapshot
from pgstrata.audit.report import Report
from pgstrata.render.audit.groups import (
    WORDS,
    Group,
    gaps,
    grants,
    grid,
    groups,
    place_of,
    places,
    summary,
    version,
    wanted_by,
)
from pgstrata.render.audit.manual import command
from pgstrata.render.audit.picture import capacity
from pgstrata.render.page import findings, items, page

_HEADS = ["", "check", "where", "finding"]
_STYLE = """\
.ok { color: #2e7d32; }
.unknown, .waived, .none { color: #6b7280; }
.matrix td { font-size: 13px; white-space: nowrap; }
.bar text { fill: currentColor; font: 13px system-ui, sans-serif; }
@media (prefers-color-scheme: dark) {
  .ok { color: #81c784; }
  .unknown, .waived { color: #9ca3af; }
}
"""


def render(report: Report) -> str:
    """Return a page that asks for nothing else."""
    rows = [_row(group) for group in groups(report, "fail", "warn", "info", "waived")]
    body = [
        f"<p>{escape(summary(report))}</p>",
        capacity(report),
        findings(_HEADS, rows),
        _matrix(report),
        *_lists(report),
    ]
    return page("pgstrata audit", "\n".join(filter(None, body)), _STYLE)


def _row(group: Group) -> str:
    result, outcome = group.result, group.result.outcome
    known = " (in the baseline)" if group.known else ""
    said = [escape(outcome.message + known)]
    said += [f"<div>{escape(line)}</div>" for line in outcome.evidence]
    said += [f"<div>wanted by {escape(wanted_by(result))}</div>"] * bool(outcome.key)
    said.append(f"<div>Why: {escape(group.check.why)}</div>")
    said += [
        f"<pre>{escape(fix.statement)}</pre><div>takes effect: {fix.applies}</div>"
        + (f"<div>verify: <code>{escape(fix.verify)}</code></div>" if fix.verify else "")
        for fix in outcome.fix
    ]
    said += [f"<div>Waived: {escape(result.waived)}</div>"] * bool(result.waived)
    said.append(f"<div>More: <code>{escape(command(group.check.id))}</code></div>")
    what = f"{group.check.id} {outcome.object}".strip()
    return (
        f'<tr><td class="{result.status}">{WORDS[result.status]}</td><td>{escape(what)}</td>'
        f"<td>{escape(group.where)}</td><td>{''.join(said)}</td></tr>"
    )


def _matrix(report: Report) -> str:
    cells = grid(report)
    heads = "".join(
        f'<th scope="col">{escape(name)}<br>{escape(version(one))}<br>{_viewer(one)}</th>'
        for name, one in zip(places(report), report.snapshots, strict=True)
    )
    lines = ["<h2>All checks</h2>", f'<table class="matrix"><tr><th></th>{heads}</tr>']
    for check in report.checks:
        found = [cells.get((check.id, place_of(one)), []) for one in report.snapshots]
        if any(found):
            what = f'<th scope="row" title="{escape(check.what)}">{escape(check.id)}</th>'
            lines.append(f"<tr>{what}{''.join(map(_cell, found))}</tr>")
    return "\n".join((*lines, "</table>"))


def _viewer(one: Snapshot) -> str:
    return f"as {escape(one.viewer)}" if one.viewer else ""


def _cell(found: list[Result]) -> str:
    if not found:
        return '<td class="none">-</td>'
    outcome = found[0].outcome
    text = f"{WORDS[found[0].status]} {outcome.observed}".strip()
    more = f" +{len(found) - 1}" if len(found) > 1 else ""
    message = escape(outcome.message)
    return f'<td class="{found[0].status}" title="{message}">{escape(text + more)}</td>'


def _lists(report: Report) -> Iterator[str]:
    if report.unaudited:
        yield "<h2>Not audited</h2>"
        yield items([f"{where}: {why}" for where, why in report.unaudited.items()])
    if unseen := list(gaps(report)):
        yield "<h2>Could not check</h2>"
        yield items([f"{', '.join(ids)}: {where}: {why}" for why, where, ids in unseen])
    if statements := grants(report.shown):
        sql = escape("\n".join(statements))
        yield f"<p>To see more, a superuser runs:</p><pre>{sql}</pre>"
