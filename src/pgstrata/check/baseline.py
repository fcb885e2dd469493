"""The baseline: findings that a project has when it begins to check, which do not fail it.

A finding is known again by its fingerprint, which holds neither its line nor its message: it stays
the same when lines move, and tells nothing of a value.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from pgstrata.errors import ConfigError
from pgstrata.model import Finding

_VERSION = 1


def fingerprints(findings: Iterable[Finding]) -> Iterator[tuple[str, Finding]]:
    """Yield each finding with its fingerprint; equal ones of a file are numbered in its order."""
    seen: Counter[tuple[str, ...]] = Counter()
    for finding in findings:
        parts = (finding.rule, finding.environment, finding.origin.source, finding.key)
        number = seen[parts]
        seen[parts] += 1
        text = json.dumps([*parts, number])
        yield hashlib.sha256(text.encode()).hexdigest()[:32], finding


def read(path: Path) -> dict[str, dict[str, str]]:
    """Return the entries of a baseline file by fingerprint. Raises ``ConfigError``."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        entries = {entry["fingerprint"]: entry for entry in data["findings"]}
    except OSError as error:
        raise ConfigError(
            f"cannot read the baseline {path}: {error.strerror}", hint="--update-baseline writes it"
        ) from None
    except (ValueError, TypeError, KeyError):
        entries, data = {}, {}
    if not isinstance(data, dict) or data.get("schema_version") != _VERSION:
        raise ConfigError(
            f"{path} is not a baseline of this version", hint="--update-baseline writes a new one"
        )
    return entries


def text(findings: Iterable[Finding]) -> str:
    """Return the baseline file of findings."""
    entries = [
        {
            "fingerprint": fingerprint,
            "rule": finding.rule,
            "environment": finding.environment,
            "source": finding.origin.source,
            "key": finding.key,
        }
        for fingerprint, finding in fingerprints(findings)
    ]
    entries.sort(key=lambda entry: [entry[name] for name in ("source", "rule", "environment")])
    return json.dumps({"schema_version": _VERSION, "findings": entries}, indent=2) + "\n"


def split(
    findings: Iterable[Finding], known: Iterable[str]
) -> tuple[list[Finding], list[Finding], set[str]]:
    """Return the findings that are new, those of the baseline, and the fingerprints of the baseline
    that no finding has any more.
    """
    known = set(known)
    marked = list(fingerprints(findings))
    fresh = [finding for fingerprint, finding in marked if fingerprint not in known]
    old = [finding for fingerprint, finding in marked if fingerprint in known]
    return fresh, old, known - {fingerprint for fingerprint, _ in marked}
