"""SARIF 2.1.0, the Static Analysis Results Interchange Format of OASIS."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from pgstrata._version import __version__
from pgstrata.check.baseline import fingerprints
from pgstrata.check.registry import EXPLANATIONS, Explanation
from pgstrata.check.report import Report, merged
from pgstrata.model import Finding
from pgstrata.render.statuses import place

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {"error": "error", "warning": "warning", "info": "note"}
_INDEX = {rule: number for number, rule in enumerate(EXPLANATIONS)}


def render(report: Report) -> str:
    """Return a log of one run: all rules, whether or not they found something, and all results.

    Ignored findings and those of the baseline are there as suppressed ones, what was not checked as
    notifications. It is ASCII.
    """
    because = {_alike(finding): ignore.reason for finding, ignore in report.ignored}
    results = _results(report, report.findings)
    for result, finding in _pairs(report, (finding for finding, _ in report.ignored)):
        reason = because[_alike(finding)]
        results.append({**result, "suppressions": [_suppression("inSource", reason)]})
    for result, _ in _pairs(report, report.accepted):
        results.append({**result, "suppressions": [_suppression("external", "in the baseline")]})
    run = {
        "tool": {"driver": _driver()},
        "columnKind": "unicodeCodePoints",
        "invocations": [_invocation(report)],
        "results": results,
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _driver() -> dict[str, Any]:
    rules = [_rule(rule, texts) for rule, texts in EXPLANATIONS.items()]
    return {"name": "pgstrata", "version": __version__, "rules": rules}


def _rule(rule: str, texts: Explanation) -> dict[str, Any]:
    advice = f"{texts.why} {texts.remedy}".strip() or texts.what
    return {
        "id": rule,
        "shortDescription": {"text": rule.replace("-", " ")},
        "fullDescription": {"text": texts.what},
        "help": {"text": advice, "markdown": advice},
    }


def _invocation(report: Report) -> dict[str, Any]:
    notes = [
        {"level": "note", "message": {"text": f"not checked: {what}"}} for what in report.unknown
    ]
    return {
        "executionSuccessful": not (report.broken or report.missing),
        "toolExecutionNotifications": notes,
    }


def _results(report: Report, findings: Iterable[Finding]) -> list[dict[str, Any]]:
    return [result for result, _ in _pairs(report, findings)]


def _pairs(report: Report, findings: Iterable[Finding]) -> list[tuple[dict[str, Any], Finding]]:
    together = merged(findings)
    # Not the environments: one more that has the finding must not make it a new one.
    marks = fingerprints(replace(finding, environment="") for finding in together)
    return [
        (_result(report, finding, mark), finding)
        for finding, (mark, _) in zip(together, marks, strict=True)
    ]


def _result(report: Report, finding: Finding, mark: str) -> dict[str, Any]:
    hint = f"\n{finding.hint}" if finding.hint else ""
    file, line, column = place(report, finding)
    location = {
        "artifactLocation": {"uri": quote(file)},
        "region": {"startLine": line, "startColumn": column},
    }
    return {
        "ruleId": finding.rule,
        **({"ruleIndex": _INDEX[finding.rule]} if finding.rule in _INDEX else {}),
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{finding.message} [{finding.environment}]{hint}"},
        "locations": [{"physicalLocation": location}],
        "partialFingerprints": {"pgstrata/v1": mark},
    }


def _suppression(kind: str, reason: str) -> dict[str, str]:
    return {"kind": kind, "status": "accepted", "justification": reason}


def _alike(finding: Finding) -> tuple[object, ...]:
    return finding.rule, finding.origin, finding.message
