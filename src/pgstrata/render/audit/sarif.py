"""An audit as SARIF: a result stands at the client's line that produced the expectation."""

from __future__ import annotations

from typing import Any

from pgstrata.audit.model import Check, Result
from pgstrata.audit.report import Report
from pgstrata.layers.project import BASE
from pgstrata.render import sarif
from pgstrata.render.audit.groups import gaps, place
from pgstrata.render.audit.manual import command
from pgstrata.render.statuses import place_of

_LEVELS = {"fail": "error", "warn": "warning", "info": "note"}


def render(report: Report) -> str:
    """Return a log of one run: all checks, whether or not they found something, and all findings.

    Waived ones and those of the baseline are there as suppressed ones, what could not be checked as
    notifications. It is ASCII.
    """
    rules = [_rule(check) for check in report.checks]
    index = {check.id: number for number, check in enumerate(report.checks)}
    results = [
        _result(report, result, index[result.check])
        for result in report.shown
        if result.outcome.status in _LEVELS
    ]
    notes = [f"not checked: {', '.join(ids)}: {where}: {why}" for why, where, ids in gaps(report)]
    notes += [f"not audited: {where}: {why}" for where, why in report.unaudited.items()]
    return sarif.log(rules, results, notes, successful=not report.unaudited)


def _rule(check: Check) -> dict[str, Any]:
    said = sarif.rule(check.id, check.what, check.why, check.fix)
    said["help"]["markdown"] += f"\n\nSee `{command(check.id)}`."
    level = {"level": _LEVELS[check.severity]}
    return {**said, "shortDescription": {"text": check.id}, "defaultConfiguration": level}


def _result(report: Report, result: Result, index: int) -> dict[str, Any]:
    outcome = result.outcome
    lines = [f"{outcome.message} [{place(result)}]", *outcome.evidence]
    lines += [f"fix ({fix.applies}): {fix.statement}" for fix in outcome.fix]
    own = result.environment if result.server else BASE
    why = result.waived or ("in the baseline" if report.is_known(result) else "")
    shut = {"suppressions": [sarif.suppression("external", why)]} if why else {}
    return {
        "ruleId": result.check,
        "ruleIndex": index,
        "level": _LEVELS[outcome.status],
        "message": {"text": "\n".join(lines)},
        "locations": [sarif.location(*place_of(report.project, result.origin, own))],
        "partialFingerprints": {"pgstrata/v1": result.fingerprint},
        **shut,
    }
