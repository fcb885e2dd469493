from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.check.conftest import CLEAN, Case, Check, hold, run

from pgstrata.check.run import Selection

PASSWORD = "connection_settings: {host: %s, password: %s}\n"
CANARY = "kX7canary"

CASES = (
    Case(
        "literal-secret",
        {"one": f"connection_settings:\n  password: {CANARY}\n"},
        "environments/one.yaml:2",
        "the password stands in the file",
        "error",
    ),
    Case(  # overridden, and committed still
        "literal-secret",
        {
            "base": CLEAN.replace("  user: app\n", f"  user: app\n  password: {CANARY}\n"),
            "one": "connection_settings: {password: {from_env: X}}",
        },
        "environments/base.yaml:5",
    ),
    Case(
        "literal-secret",
        {"one": f"connection_settings:\n  url: postgresql://app:{CANARY}@db.example.com/app\n"},
        "environments/one.yaml:2",
    ),
    Case("literal-secret", {"one": "connection_settings: {password: {from_env: X}}"}),
    Case("literal-secret", {"one": "connection_settings: {password: '${X}'}"}),
    Case(
        "literal-secret", {"one": "", "one.local": f"connection_settings: {{password: {CANARY}}}"}
    ),
    Case("literal-secret", {"one": "connection_settings: {url: postgresql://db.example.com/app}"}),
    Case("literal-secret", {"one": "connection_settings: {password: ''}"}),
    Case(
        "shared-secret",
        {"one": PASSWORD % ("one", CANARY), "two": PASSWORD % ("two", CANARY)},
        "environments/two.yaml:1",
        "the password is that of one as well",
    ),
    Case(
        "shared-secret",
        {"one": PASSWORD % ("one", "{from_env: A}"), "two": PASSWORD % ("two", "{from_env: B}")},
        "environments/two.yaml:1",
        environ={"A": CANARY, "B": CANARY},
    ),
    Case(
        "shared-secret",
        {"one": PASSWORD % ("one", "{from_env: A}"), "two": PASSWORD % ("two", "{from_env: B}")},
        environ={"A": CANARY, "B": "another"},
    ),
    Case(  # one variable, which holds what each machine's own is
        "shared-secret",
        {"one": PASSWORD % ("one", "{from_env: A}"), "two": PASSWORD % ("two", "{from_env: A}")},
        environ={"A": CANARY},
    ),
    Case(  # nothing is no secret
        "shared-secret",
        {"one": PASSWORD % ("one", "{from_env: A}"), "two": PASSWORD % ("two", "{from_env: B}")},
        environ={"A": "", "B": ""},
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rule(case: Case, tmp_path: Path) -> None:
    """The rule fires where the case says, or nowhere, and shows nothing of the secret."""
    hold(tmp_path, case)
    report = run(tmp_path, case.files, case.environ)
    assert CANARY not in repr(report)


def test_a_secret_that_is_not_there_is_not_checked(checked: Check) -> None:
    """It is neither the same nor different, and that is said."""
    secret = PASSWORD % ("one", "{from_env: A}")
    report = checked(one=secret, two=secret.replace("A}", "B}"))
    assert [f for f in report.findings if f.rule == "shared-secret"] == []
    said = "shared-secret: secrets that are not there on this machine (one, two)"
    assert said in report.unknown


@pytest.mark.skipif(os.name != "posix", reason="files have no such modes elsewhere")
@pytest.mark.parametrize(("mode", "fires"), [(0o644, True), (0o600, False), (0o640, False)])
def test_readable_secret_file(tmp_path: Path, mode: int, *, fires: bool) -> None:
    """A file that everybody may read is named; with --skip-files it is not looked at."""
    path = tmp_path / "password"
    path.write_text(CANARY)
    path.chmod(mode)
    files = {"one": "connection_settings:\n  password: {from_file: password}\n"}
    found = [f for f in run(tmp_path, files).findings if f.rule == "readable-secret-file"]
    assert [(f.origin.source, f.origin.line) for f in found] == (
        [("environments/one.yaml", 2)] if fires else []
    )
    skipped = run(tmp_path, files, selection=Selection(files=False))
    assert [f for f in skipped.findings if f.rule == "readable-secret-file"] == []


def test_a_fallback_for_a_secret_keeps_the_environment_from_being_loaded(checked: Check) -> None:
    """It is found at loading, at its own line."""
    report = checked(one="connection_settings:\n  password: ${A:-fallback}\n")
    assert report.broken == {"one"}
    (finding,) = report.findings
    assert (finding.rule, finding.origin.line) == ("interpolation", 2)
    assert "fallback" in finding.message
