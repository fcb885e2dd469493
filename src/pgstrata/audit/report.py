"""What came of an audit: its results, what fails it, and what it could not look at."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from pgstrata.audit.model import FINDING, Check, Result, Snapshot
from pgstrata.audit.view import View
from pgstrata.errors import CONFIG, FINDINGS, OK, ConfigError

FailOn: TypeAlias = Literal["fail", "warn", "never"]


@dataclass(frozen=True, slots=True)
class Report:
    """An audit of some environments. ``broken`` are those that could not be loaded, and why.

    ``known`` are the statuses that a baseline has, by fingerprint: a result that is no worse does
    not fail the audit, and with ``new_only`` is not shown.
    """

    project: Path
    checks: tuple[Check, ...]
    views: tuple[View, ...]
    results: tuple[Result, ...]
    broken: Mapping[str, str] = field(default_factory=dict)
    known: Mapping[str, str] = field(default_factory=dict)
    new_only: bool = False
    fail_on: FailOn = "fail"
    fail_on_unknown: bool = False

    @property
    def snapshots(self) -> tuple[Snapshot, ...]:
        """What was seen, endpoint by endpoint."""
        return tuple(view.snapshot for view in self.views)

    @property
    def shown(self) -> tuple[Result, ...]:
        """The results that are told of."""
        if not self.new_only:
            return self.results
        return tuple(result for result in self.results if not self.is_known(result))

    @property
    def failures(self) -> tuple[Result, ...]:
        """The results that fail the audit."""
        return tuple(result for result in self.results if self.fails(result))

    def fails(self, result: Result) -> bool:
        """Tell whether a result fails the audit."""
        if result.status == "unknown":
            return self.fail_on_unknown
        if self.fail_on == "never" or self.is_known(result):
            return False
        return result.status in FINDING[: FINDING.index(self.fail_on) + 1]

    def is_known(self, result: Result) -> bool:
        """Tell whether the baseline has this result, no better than it is now."""
        before = self.known.get(result.fingerprint)
        if before not in FINDING or result.status not in FINDING:
            return False
        return FINDING.index(before) <= FINDING.index(result.status)

    @property
    def unaudited(self) -> Mapping[str, str]:
        """What could not be audited at all, and why: environments, and endpoints of them."""
        unreached = {
            f"{snapshot.environment}/{snapshot.connection} ({snapshot.endpoint})": snapshot.error
            for snapshot in self.snapshots
            if snapshot.error
        }
        return {**self.broken, **unreached}

    @property
    def exit_codes(self) -> tuple[int, ...]:
        """All exit codes that hold, the one to exit with first: a finding is never hidden."""
        codes = []
        if self.failures:
            codes.append(FINDINGS)
        if self.unaudited:
            codes.append(CONFIG)
        return tuple(codes) or (OK,)

    @property
    def counts(self) -> Counter[str]:
        """How many results there are of each status, and how many the baseline knows."""
        found = Counter(str(result.status) for result in self.results)
        found["known"] = sum(map(self.is_known, self.results))
        return found


def baseline(path: Path) -> dict[str, str]:
    """Return the statuses of an earlier ``audit --format json`` by fingerprint. Raises
    ``ConfigError``.
    """
    hint = "pgstrata audit --format json > FILE writes one"
    problem = f"{path} is not the JSON of an audit"
    try:
        shape = json.loads(path.read_text(encoding="utf-8"))
        found = [result for place in shape["environments"] for result in place["results"]]
        if shape["schema_version"] == 1:
            return {result["fingerprint"]: result["status"] for result in found}
    except OSError as error:
        problem = f"cannot read the baseline {path}: {error.strerror}"
    except (ValueError, TypeError, KeyError):
        pass
    raise ConfigError(problem, hint=hint)
