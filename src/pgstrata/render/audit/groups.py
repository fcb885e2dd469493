"""What every format says of an audit: results that are alike told once, gaps, and the summary."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from pgstrata.audit.model import Check, Result, Snapshot
from pgstrata.audit.report import Report
from pgstrata.check.report import some
from pgstrata.model import DEFAULT

# Worst first, with the word that a reader sees.
WORDS = {
    "fail": "FAIL",
    "warn": "WARN",
    "info": "info",
    "unknown": "unknown",
    "waived": "waived",
    "ok": "ok",
}
Place: TypeAlias = tuple[str, str, str]  # environment, connection, server


@dataclass(frozen=True, slots=True)
class Group:
    """Results that say the same of several endpoints. ``where`` names these."""

    check: Check
    result: Result
    where: str
    known: bool


def groups(report: Report, *statuses: str) -> list[Group]:
    """Return the shown results of these statuses, the worst first; alike ones as one."""
    checks = {check.id: check for check in report.checks}
    places: dict[Result, dict[str, None]] = {}
    known: dict[Result, bool] = {}
    for result in report.shown:
        if result.status in statuses:
            alike = replace(result, environment="", connection="", server="")
            if not _is_said(result):
                alike = replace(alike, origin=DEFAULT)
            places.setdefault(alike, {})[place(result)] = None
            known[alike] = known.get(alike, True) and report.is_known(result)
    found = [
        Group(checks[alike.check], alike, some(list(names)), known[alike])
        for alike, names in places.items()
    ]
    order = list(WORDS)
    rank = list(checks)
    return sorted(found, key=lambda it: (order.index(it.result.status), rank.index(it.check.id)))


def wanted_by(result: Result) -> str:
    """Return the key that an expectation comes from, and where it is said, if it is."""
    key = result.outcome.key
    return f"{key}: {result.origin}" if key and _is_said(result) else key


def _is_said(result: Result) -> bool:
    """Tell whether a result has a place: the top of a file stands for what is nowhere."""
    origin = result.origin
    nowhere = origin.layer == "default" or (origin.line, origin.column) == (1, 1)
    return bool(result.outcome.key) and not nowhere


def place(result: Result) -> str:
    """Return where a result is, as people write it."""
    if not result.server:
        return result.environment
    name = "" if result.connection == "default" else f"/{result.connection}"
    return f"{result.environment}{name} ({result.server})"


def places(report: Report) -> list[str]:
    """Return the names of the endpoints: environment, connection if it is a named one, and the
    server where there are several.
    """
    names = [
        one.environment + ("" if one.connection == "default" else f"/{one.connection}")
        for one in report.snapshots
    ]
    many = {name for name, times in Counter(names).items() if times > 1}
    return [
        f"{name} ({one.endpoint})" if name in many else name
        for name, one in zip(names, report.snapshots, strict=True)
    ]


def version(snapshot: Snapshot) -> str:
    """Return the server's version in short, or ``not audited``."""
    caps = snapshot.facts.get("caps", ())
    return str(caps[0]["version"]).partition(" ")[0] if caps else "not audited"


def grid(report: Report) -> Mapping[tuple[str, Place], list[Result]]:
    """Return what each check says of each endpoint, the worst first."""
    order = list(WORDS)
    found: dict[tuple[str, Place], list[Result]] = {}
    for result in report.shown:
        found.setdefault((result.check, place_of_result(result)), []).append(result)
    for results in found.values():
        results.sort(key=lambda result: order.index(result.status))
    return found


def place_of_result(result: Result) -> Place:
    """Return the place of a result; without a server where it is about a waiver."""
    return result.environment, result.connection, result.server


def place_of(snapshot: Snapshot) -> Place:
    """Return the place of an endpoint, as ``grid`` has it."""
    return snapshot.environment, snapshot.connection, snapshot.endpoint


def gaps(report: Report) -> Iterator[tuple[str, str, list[str]]]:
    """Yield why something could not be checked, where, and which checks that is.

    An endpoint that could not be reached at all is not among them: it is said by itself.
    """
    unreached = {one.error for one in report.snapshots if one.error}
    found: dict[tuple[str, str], dict[str, None]] = {}
    for group in groups(report, "unknown"):
        message = group.result.outcome.message
        if message not in unreached:
            found.setdefault((message, group.where), {})[group.check.id] = None
    for (message, where), ids in found.items():
        yield message, where, list(ids)


def grants(results: Iterable[Result]) -> list[str]:
    """Return the statements that would show what was not, each once."""
    said = (result.gap.grant for result in results if result.gap)
    lines = (line for grant in said for line in re.split(r"(?<=;) (?=GRANT )", grant))
    return list(dict.fromkeys(filter(None, lines)))


def summary(report: Report) -> str:
    """Return one line of counts: what was looked at, what was not, and what came of it."""
    counts = report.counts
    unseen = counts["unknown"]
    looked = sum(counts[status] for status in WORDS) - unseen
    said = [f"{counts[status]} {status}" for status in WORDS if counts[status]]
    if counts["known"]:
        said.append(f"{counts['known']} in the baseline")
    if report.unaudited:
        said.append(f"{len(report.unaudited)} not audited")
    return f"{looked} checked, {unseen} not checked: {', '.join(said) or 'nothing'}"
