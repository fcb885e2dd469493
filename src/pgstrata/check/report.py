"""What came of a run of ``check``, and the order and form in which findings are told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pgstrata.check import baseline
from pgstrata.check.ignores import Ignore
from pgstrata.model import Finding, Severity

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a run looked at: these rules, in these environments, or, if ``complete``, in all that
    there are; but not these pairs of rule and environment, nor what is ``unread``.
    """

    rules: frozenset[str] = frozenset()
    environments: frozenset[str] = frozenset()
    complete: bool = False
    unread: frozenset[str] = frozenset()
    unknown: frozenset[tuple[str, str]] = frozenset()

    def has(self, rule: str, environment: str) -> bool:
        """Tell whether a rule was looked at in an environment, or that is no more."""
        if environment in self.unread or (rule, environment) in self.unknown:
            return False
        return rule in self.rules and (self.complete or environment in self.environments)


@dataclass(frozen=True, slots=True)
class Report:
    """What a run found. Each finding is about one environment; ``broken`` are those that could not
    be loaded, ``missing`` those that are not there.

    ``accepted`` are the findings of the baseline, ``gone`` the number of its entries that no
    finding has any more, of those that were looked at. ``ran`` are the ids of the rules that ran,
    ``unknown`` says what was not checked.
    """

    project: Path
    environments: tuple[str, ...]
    broken: frozenset[str]
    missing: frozenset[str]
    findings: tuple[Finding, ...]
    ignored: tuple[tuple[Finding, Ignore], ...] = ()
    accepted: tuple[Finding, ...] = ()
    gone: int = 0
    ran: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    fail_on: Severity | None = "error"
    coverage: Coverage = Coverage()

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The findings that are as bad as ``fail_on``, or worse."""
        return tuple(finding for finding in self.findings if self.fails(finding))

    def fails(self, finding: Finding) -> bool:
        """Tell whether a finding fails the run."""
        if self.fail_on is None:
            return False
        return SEVERITIES.index(finding.severity) <= SEVERITIES.index(self.fail_on)

    def with_baseline(self, known: Mapping[str, Mapping[str, str]]) -> Report:
        """Return the report without the findings that a baseline accepts, as ``baseline.read``
        returns it.
        """
        loaded = [finding for finding in self.findings if finding.environment not in self.broken]
        kept = [finding for finding in self.findings if finding.environment in self.broken]
        fresh, old, unmatched = baseline.split(loaded, known)
        entries = [known[fingerprint] for fingerprint in unmatched]
        gone = sum(self.coverage.has(entry["rule"], entry["environment"]) for entry in entries)
        return replace(self, findings=ordered((*kept, *fresh)), accepted=tuple(old), gone=gone)


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings in the order of the files, and of the environments."""
    return tuple(sorted(findings, key=order))


def order(finding: Finding) -> tuple[str | int, ...]:
    """Return what findings are sorted by."""
    place = finding.origin
    own = (finding.rule, finding.message, finding.environment)
    return (place.source, place.line, place.column, *own)


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings that are the same in several environments as one that names them all."""
    groups: dict[Finding, dict[str, None]] = {}
    for finding in findings:
        alike = replace(finding, environment="", key=_bare(finding.key))
        groups.setdefault(alike, {})[finding.environment] = None
    return [replace(finding, environment=some(list(names))) for finding, names in groups.items()]


def _bare(key: str) -> str:
    return key.split(".", 2)[-1] if key.startswith("connections.") else key


def some(names: list[str], most: int = 5) -> str:
    """Return the first names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
