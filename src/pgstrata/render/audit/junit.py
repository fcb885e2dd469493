"""An audit as JUnit's XML: an endpoint is a suite, a check a test."""

from __future__ import annotations

from collections.abc import Iterator

from pgstrata.audit.model import Result
from pgstrata.audit.report import Report
from pgstrata.render.audit.groups import grid, place_of, places
from pgstrata.render.audit.manual import command
from pgstrata.render.junit import attribute, case, content, document, suite
from pgstrata.render.statuses import place_of as file_of


def render(report: Report) -> str:
    """Return a suite for each endpoint, and in it a test for each check that applies.

    What could not be checked is skipped, what could not be audited at all an error. Findings that
    do not fail the audit are output of a test that passes.
    """
    return document(_suites(report))


def _suites(report: Report) -> Iterator[str]:
    cells = grid(report)
    for snapshot, name in zip(report.snapshots, places(report), strict=True):
        own = place_of(snapshot)
        cases = [
            _case(report, name, check.id, cells[check.id, own])
            for check in report.checks
            if (check.id, own) in cells
        ]
        if snapshot.error:
            cases.append(_error(name, snapshot.error))
        yield suite(name, cases)
    for name, why in report.broken.items():
        yield suite(name, [_error(name, why)])
    about = [result for result in report.shown if not result.server]
    if about:
        yield suite("waivers", [_case(report, "waivers", one.check, [one]) for one in about])


def _case(report: Report, name: str, check: str, found: list[Result]) -> str:
    failing = [result for result in found if report.fails(result)]
    unseen = [r for r in found if r.status == "unknown" and r not in failing]
    others = [r for r in found if r not in failing and r not in unseen and r.status != "ok"]
    inner = ""
    if failing:
        message = attribute(failing[0].outcome.message)
        inner += f"<failure message={message}>{_lines(failing)}</failure>"
    elif unseen:
        inner += f"<skipped message={attribute(unseen[0].outcome.message)}/>"
    if others:
        inner += f"<system-out>{_lines(others)}</system-out>"
    file, line, _ = file_of(report.project, found[0].origin, found[0].environment)
    return case(name, check, inner, file=file, line=line)


def _lines(results: list[Result]) -> str:
    lines = []
    for result in results:
        lines.append(f"{result.origin}: {result.status}: {result.outcome.message}")
        lines += [f"fix ({fix.applies}): {fix.statement}" for fix in result.outcome.fix]
        lines += [f"waived: {result.waived}"] if result.waived else []
        lines.append(f"more: {command(result.check)}")
    return content("\n".join(lines))


def _error(name: str, why: str) -> str:
    return case(name, "audited", f"<error message={attribute(why)}/>")
