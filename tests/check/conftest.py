"""Projects to check, and what a rule is shown by: a case in which it fires, or stays silent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pgstrata.check.report import Report
from pgstrata.check.run import Selection, check
from pgstrata.layers.project import environments
from pgstrata.loading import load_many
from pgstrata.model import Severity

# Nothing in it is worth a finding.
CLEAN = """\
connection_settings:
  host: db.example.com
  dbname: app
  user: app
  sslmode: verify-full
  sslrootcert: system
session_settings:
  statement_timeout: 30s
"""


@dataclass(frozen=True)
class Case:
    """A project, by the texts of its files; ``at`` is where the finding is, empty for none."""

    rule: str
    files: Mapping[str, str]
    at: str = ""
    says: str = ""
    severity: Severity | None = None
    environ: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.rule} at {self.at or 'nowhere'}"


def write(project: Path, files: Mapping[str, str]) -> None:
    """Write the files of a project; base.yaml is CLEAN where it is not given."""
    folder = project / "environments"
    folder.mkdir(exist_ok=True)
    for name, text in {"base": CLEAN, **files}.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")


def run(
    project: Path,
    files: Mapping[str, str],
    environ: Mapping[str, str] | None = None,
    selection: Selection | None = None,
) -> Report:
    """Check all environments of a project."""
    write(project, files)
    environ = {"HOME": str(project), **(environ or {})}
    results = load_many(environments(project), project=project, environ=environ)
    return check(results, project, environ, selection=selection)


def hold(project: Path, case: Case) -> None:
    """Assert that a case is as it says."""
    report = run(project, case.files, case.environ)
    assert report.broken == set(), report.findings
    found = [finding for finding in report.findings if finding.rule == case.rule]
    if not case.at:
        assert found == []
        return
    places = {f"{f.origin.source}:{f.origin.line}" for f in found}
    assert case.at in places, (places, report.findings)
    finding = next(f for f in found if f"{f.origin.source}:{f.origin.line}" == case.at)
    assert case.says in finding.message
    assert case.severity in (None, finding.severity)
    assert case.rule in report.ran


Check = Callable[..., Report]


@pytest.fixture
def checked(tmp_path: Path) -> Check:
    """Return a function that checks a project, given the texts of its files."""

    def function(environ: Mapping[str, str] | None = None, **files: str) -> Report:
        return run(tmp_path, files, environ)

    return function
