"""An audit in Prometheus' text format, for the textfile collector of its node exporter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TypeAlias

from pgstrata.audit.model import Snapshot
from pgstrata.audit.report import Report
from pgstrata.render.audit.groups import WORDS, place_of, place_of_result

Sample: TypeAlias = tuple[dict[str, str], float]

_NAMES = ("environment", "connection", "server")


def render(report: Report) -> str:
    """Return gauges for each endpoint: whether it was audited, when, how long that took, how many
    results of each status there are, and what each check found that is not ok.
    """
    metrics = {
        "up": ("Whether the endpoint could be audited.", _up(report)),
        "timestamp_seconds": ("When the endpoint was looked at.", _taken(report)),
        "duration_seconds": ("How long that took.", _seconds(report)),
        "results": ("Results of each status.", _results(report)),
        "findings": ("Results of each check that are not ok.", _findings(report)),
    }
    lines: list[str] = []
    for name, (text, samples) in metrics.items():
        lines += [f"# HELP pgstrata_audit_{name} {text}", f"# TYPE pgstrata_audit_{name} gauge"]
        lines += [_sample(f"pgstrata_audit_{name}", *sample) for sample in samples]
    return "\n".join(lines) + "\n"


def _up(report: Report) -> Iterator[Sample]:
    for one in report.snapshots:
        yield _labels(one), float(not one.error)
    for name in report.broken:
        yield {"environment": name, "connection": "", "server": ""}, 0.0


def _taken(report: Report) -> Iterator[Sample]:
    for one in report.snapshots:
        if one.taken:
            yield _labels(one), datetime.fromisoformat(one.taken).timestamp()


def _seconds(report: Report) -> Iterable[Sample]:
    return ((_labels(one), one.seconds) for one in report.snapshots)


def _results(report: Report) -> Iterator[Sample]:
    counts = Counter((*place_of_result(result), str(result.status)) for result in report.results)
    places = set(map(place_of, report.snapshots))
    for place in sorted(places | {key[:3] for key in counts}):
        for status in WORDS:
            labels = dict(zip(_NAMES, place, strict=True))
            key = (*place, status)
            yield {**labels, "status": status}, counts[key]


def _findings(report: Report) -> Iterator[Sample]:
    counts = Counter(
        (*place_of_result(result), result.check, str(result.status))
        for result in report.shown
        if result.status != "ok"
    )
    for key, number in sorted(counts.items()):
        yield dict(zip((*_NAMES, "check", "status"), key, strict=True)), number


def _labels(one: Snapshot) -> dict[str, str]:
    place = {"environment": one.environment, "connection": one.connection}
    return {**place, "server": one.endpoint}


def _sample(name: str, labels: dict[str, str], value: float) -> str:
    said = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{name}{{{said}}} {value:.15g}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
