"""An audit as JSON. The same shape is what ``--baseline`` reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pgstrata.audit.model import Result, Snapshot
from pgstrata.audit.report import Report
from pgstrata.render.audit.groups import WORDS, Place, place_of, place_of_result, version
from pgstrata.render.audit.manual import command


def render(report: Report) -> str:
    """Return the versioned shape. It is ASCII."""
    severities = {check.id: check.severity for check in report.checks}
    found: dict[Place, list[dict[str, Any]]] = {}
    for result in report.shown:
        shape = _result(report, result, severities)
        found.setdefault(place_of_result(result), []).append(shape)
    places = [_endpoint(one, found.get(place_of(one), [])) for one in report.snapshots]
    places += [_broken(name, why) for name, why in report.broken.items()]
    own = [shape for place, shapes in found.items() if not place[2] for shape in shapes]
    whole = {
        "schema_version": 1,
        "environments": places,
        "waivers": own,
        "summary": _summary(report),
    }
    return json.dumps(whole, indent=2) + "\n"


def _endpoint(one: Snapshot, results: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "environment": one.environment,
        "connection": one.connection,
        "server": one.endpoint,
        "version": version(one) if one.facts else None,
        "viewer": one.viewer or None,
        "taken": one.taken or None,
        "seconds": one.seconds,
        "error": one.error or None,
        "results": results,
    }


def _broken(name: str, why: str) -> dict[str, Any]:
    return _endpoint(Snapshot(name, "", "", "", "", error=why), []) | {"server": ""}


def _result(report: Report, result: Result, severities: Mapping[str, str]) -> dict[str, Any]:
    outcome = result.outcome
    return {
        "check": result.check,
        "status": result.status,
        "severity": severities[result.check],
        "object": outcome.object,
        "observed": outcome.observed,
        "expected": outcome.expected,
        "message": outcome.message,
        "evidence": list(outcome.evidence),
        "fix": [asdict(fix) for fix in outcome.fix],
        "key": outcome.key,
        "more": command(result.check),
        "origin": result.origin.as_json(),
        "grant": (result.gap.grant or None) if result.gap else None,
        "waived": result.waived or None,
        "known": report.is_known(result),
        "fingerprint": result.fingerprint,
    }


def _summary(report: Report) -> dict[str, Any]:
    counts = report.counts
    return {
        **{status: counts[status] for status in (*WORDS, "known")},
        "checked": sum(counts[status] for status in WORDS) - counts["unknown"],
        "not_checked": counts["unknown"],
        "failures": len(report.failures),
        "unaudited": dict(report.unaudited),
        "exit_codes": list(report.exit_codes),
    }
