"""What every format says of a report as a whole, and where it says a finding is."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path, PurePosixPath

from pgstrata.check.report import Report
from pgstrata.layers.project import BASE, FOLDER
from pgstrata.model import Finding, Origin
from pgstrata.render.findings import counts


def statuses(report: Report) -> dict[str, str]:
    """Return for each environment ``missing``, ``failed`` or ``ok``."""
    failed = {finding.environment for finding in report.failures} | report.broken
    return {
        name: "missing" if name in report.missing else "failed" if name in failed else "ok"
        for name in report.environments
    }


def counts_of(report: Report) -> dict[str, str]:
    """Return for each environment how many findings of each severity it has."""
    own: dict[str, list[Finding]] = {name: [] for name in report.environments}
    for finding in report.findings:
        own.setdefault(finding.environment, []).append(finding)
    return {
        name: "not found" if name in report.missing else counts(found)
        for name, found in own.items()
    }


def summary(report: Report) -> str:
    """Return one line of counts for the whole report."""
    parts = [counts(report.findings)]
    if report.ignored:
        parts.append(f"{len(report.ignored)} ignored")
    if report.accepted:
        parts.append(f"{len(report.accepted)} in the baseline")
    if report.gone:
        parts.append(f"{report.gone} of the baseline gone")
    environments = Counter({"environment": len(report.environments), "rule": len(report.ran)})
    head = ", ".join(f"{n} {what}{'s' if n != 1 else ''}" for what, n in environments.items())
    return f"{head}: {', '.join(parts)}"


def place(report: Report, finding: Finding) -> tuple[str, int, int]:
    """Return file, line and column of a finding, the file as seen from the current folder.

    What is in no file, such as a variable, is placed at the top of the environment's own.
    """
    own = finding.environment if finding.environment in report.environments else BASE
    return place_of(report.project, finding.origin, own)


def place_of(project: Path, origin: Origin, environment: str) -> tuple[str, int, int]:
    """Return the place of an origin; of what is in no file, the top of its environment's own."""
    if origin.source.startswith(f"{FOLDER}/"):
        return _seen(project, origin.source), max(origin.line, 1), max(origin.column, 1)
    return _seen(project, f"{FOLDER}/{environment}.yaml"), 1, 1


def where(report: Report, finding: Finding) -> str:
    """Return the place of a finding as people write it."""
    if finding.origin.source.startswith(f"{FOLDER}/"):
        return ":".join(map(str, place(report, finding)))
    return str(finding.origin)


def _seen(project: Path, source: str) -> str:
    """Return a file of the project as seen from the current folder: CI wants it so."""
    here = Path.cwd()
    try:
        folder = os.path.relpath(project, here)
    except ValueError:  # on Windows, another drive
        return source
    outside = folder.startswith(os.pardir)
    return source if outside else str(PurePosixPath(Path(folder).as_posix()) / source)
