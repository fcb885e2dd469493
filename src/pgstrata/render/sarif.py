"""SARIF 2.1.0, the Static Analysis Results Interchange Format of OASIS."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from pgstrata._version import __version__
from pgstrata.check.baseline import fingerprints
from pgstrata.check.registry import EXPLANATIONS
from pgstrata.check.report import Report, merged, order
from pgstrata.model import Finding
from pgstrata.render.statuses import place

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {"error": "error", "warning": "warning", "info": "note"}
_INDEX = {name: number for number, name in enumerate(EXPLANATIONS)}


def render(report: Report) -> str:
    """Return a log of one run: all rules, whether or not they found something, and all results.

    Ignored findings and those of the baseline are there as suppressed ones, what was not checked as
    notifications. It is ASCII.
    """
    told = sorted(_told(report), key=lambda one: order(one[0]))
    # Not the environments: one more that has the finding must not make it a new one.
    marks = fingerprints(replace(finding, environment="") for finding, _ in told)
    results = [
        {**_result(report, finding, mark), **suppressed}
        for (finding, suppressed), (mark, _) in zip(told, marks, strict=True)
    ]
    rules = [rule(name, it.what, it.why, it.remedy) for name, it in EXPLANATIONS.items()]
    notes = [f"not checked: {what}" for what in report.unknown]
    return log(rules, results, notes, successful=not (report.broken or report.missing))


def log(
    rules: Sequence[Mapping[str, Any]],
    results: Sequence[Mapping[str, Any]],
    notes: Iterable[str],
    *,
    successful: bool,
) -> str:
    """Return the log of one run. ``notes`` say what was not looked at."""
    told = [{"level": "note", "message": {"text": note}} for note in notes]
    run = {
        "tool": {"driver": {"name": "pgstrata", "version": __version__, "rules": rules}},
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {"executionSuccessful": successful, "toolExecutionNotifications": told},
        ],
        "results": results,
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def rule(name: str, what: str, why: str, remedy: str) -> dict[str, Any]:
    """Return a rule as the driver lists it."""
    advice = f"{why} {remedy}".strip() or what
    return {
        "id": name,
        "shortDescription": {"text": name.replace("-", " ")},
        "fullDescription": {"text": what},
        "help": {"text": advice, "markdown": advice},
    }


def location(file: str, line: int, column: int) -> dict[str, Any]:
    """Return a place in a file of the project."""
    region = {"startLine": line, "startColumn": column}
    return {"physicalLocation": {"artifactLocation": {"uri": quote(file)}, "region": region}}


def _told(report: Report) -> Iterator[tuple[Finding, dict[str, Any]]]:
    """Yield every finding, with the suppressions of one that does not count."""
    because = {_alike(finding): ignore.reason for finding, ignore in report.ignored}
    for finding in merged(report.findings):
        yield finding, {}
    for finding in merged(finding for finding, _ in report.ignored):
        yield finding, {"suppressions": [suppression("inSource", because[_alike(finding)])]}
    for finding in merged(report.accepted):
        yield finding, {"suppressions": [suppression("external", "in the baseline")]}


def _result(report: Report, finding: Finding, mark: str) -> dict[str, Any]:
    hint = f"\n{finding.hint}" if finding.hint else ""
    return {
        "ruleId": finding.rule,
        **({"ruleIndex": _INDEX[finding.rule]} if finding.rule in _INDEX else {}),
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{finding.message} [{finding.environment}]{hint}"},
        "locations": [location(*place(report, finding))],
        "partialFingerprints": {"pgstrata/v1": mark},
    }


def suppression(kind: str, reason: str) -> dict[str, str]:
    """Return why a result does not count: ``inSource``, or said elsewhere (``external``)."""
    return {"kind": kind, "status": "accepted", "justification": reason}


def _alike(finding: Finding) -> tuple[object, ...]:
    return finding.rule, finding.origin, finding.message
