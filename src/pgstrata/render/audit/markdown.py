"""An audit as Markdown for a comment on a pull request."""

from __future__ import annotations

from collections.abc import Iterator

from pgstrata.audit.report import Report
from pgstrata.render.audit.groups import WORDS, Group, gaps, grants, groups, summary
from pgstrata.render.audit.manual import command
from pgstrata.render.markdown import code, plain, table

_HEADER = ("", "check", "where", "finding", "fix")


def render(report: Report) -> str:
    """Return the summary, a table of findings, and folded away what could not be checked.

    Nothing of a finding is active: no markup, link or mention.
    """
    parts = ["### pgstrata audit", f"{plain(summary(report))}."]
    rows = [_row(group) for group in groups(report, "fail", "warn", "info")]
    parts += [table(_HEADER, rows), f"More: {code(command('CHECK'))}"] if rows else []
    parts += _folded(report)
    return "\n\n".join(parts) + "\n"


def _row(group: Group) -> tuple[str, ...]:
    outcome = group.result.outcome
    known = " (in the baseline)" if group.known else ""
    what = f"{group.check.id} {outcome.object}".strip()
    fixes = "<br>".join(f"{_inline(fix.statement)} ({fix.applies})" for fix in outcome.fix)
    said = plain(outcome.message) + known
    return WORDS[group.result.status], plain(what), plain(group.where), said, fixes


def _inline(statement: str) -> str:
    return code(" ".join(statement.split()))


def _folded(report: Report) -> Iterator[str]:
    unseen = [f"{', '.join(ids)}: {where}: {why}" for why, where, ids in gaps(report)]
    waived = [
        f"{group.check.id}: {group.where}: {group.result.waived}"
        for group in groups(report, "waived")
    ]
    unaudited = [f"{where}: {why}" for where, why in report.unaudited.items()]
    for title, lines in (
        ("Not audited", unaudited),
        ("Could not check", unseen),
        ("Waived", waived),
    ):
        if lines:
            items = "\n".join(f"- {plain(line)}" for line in lines)
            yield f"<details><summary>{title} ({len(lines)})</summary>\n\n{items}\n\n</details>"
    if statements := grants(report.shown):
        lines = [f"- {_inline(statement)}" for statement in statements]
        yield "\n".join(("To see more, a superuser runs:", "", *lines))
