from __future__ import annotations

from pathlib import Path

import pytest
from tests.check.conftest import CLEAN, Case, Check, hold

SETTING = "connection_settings:\n  %s\n"
PROTECTED = "protected: true\n"

CASES = (
    Case(
        "redundant-override",
        {"one": "session_settings:\n  statement_timeout: 30000\n"},
        "environments/one.yaml:2",
        "statement_timeout is what environments/base.yaml:8:22 says anyway",
        "info",
    ),
    Case(
        "redundant-override",
        {"one": SETTING % "host: db1", "two": "extends: one\n" + SETTING % "host: db1"},
        "environments/two.yaml:3",
    ),
    Case("redundant-override", {"one": "session_settings: {statement_timeout: 30}"}),
    Case("redundant-override", {"one": SETTING % "host: db2"}),
    Case(  # not compared, and nothing is said of it
        "redundant-override",
        {
            "base": CLEAN.replace("  user", "  password: secret\n  user"),
            "one": SETTING % "password: secret",
        },
    ),
    Case(
        "overridden-everywhere",
        {"one": SETTING % "host: db1", "two": SETTING % "host: db2"},
        "environments/base.yaml:2",
        "every environment overrides this host",
    ),
    Case("overridden-everywhere", {"one": SETTING % "host: db1", "two": ""}),
    Case("overridden-everywhere", {"one": SETTING % "host: db1"}),
    Case(  # a named connection uses what the top level hides
        "overridden-everywhere",
        {
            "base": CLEAN + "connections: {a: {connection_settings: {dbname: a}}}\n",
            "one": "connections: {a: {connection_settings: {dbname: b}}}",
            "two": SETTING % "dbname: c",
        },
    ),
    Case(
        "ambient-variable",
        {"one": PROTECTED},
        "environments/one.yaml:1",
        "application_name is decided by the variable PGAPPNAME",
        environ={"PGAPPNAME": "x"},
    ),
    Case("ambient-variable", {"one": ""}, environ={"PGAPPNAME": "x"}),
    Case("ambient-variable", {"one": PROTECTED}),
    Case("ambient-variable", {"one": PROTECTED}, environ={"PGSSLMODE": "disable"}),
    Case("unread-variable", {"one": ""}, environ={"PGSTRATA_ENV": "one"}),
    Case("unread-variable", {"one": ""}, environ={"PGSTRATA_KEY_ONE": "x"}),
    Case("unread-variable", {"one": ""}, environ={"PGSTRATA_POOL_SETTINGS__MAX_SIZE": "9"}),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rule(case: Case, tmp_path: Path) -> None:
    """The rule fires where the case says, or nowhere."""
    hold(tmp_path, case)


def test_unread_variable(checked: Check) -> None:
    """A misspelt variable is named, with the one that was meant."""
    report = checked({"PGSTRATA_EVN": "one"}, one="")
    (finding,) = [f for f in report.findings if f.rule == "unread-variable"]
    assert "PGSTRATA_EVN" in finding.message
    assert finding.hint == "did you mean PGSTRATA_ENV?"
    assert str(finding.origin) == "env PGSTRATA_EVN"


def test_an_environment_that_cannot_be_loaded_may_use_what_all_others_override(
    checked: Check,
) -> None:
    """So nothing is said to be overridden everywhere, but that it is not known."""
    host = "connection_settings: {host: %s}"
    files = {"one": host % "a", "two": host % "b"}
    assert "overridden-everywhere" in {f.rule for f in checked(**files, three=host % "c").findings}
    report = checked(**files, three="connection_settings: {hots: c}")
    assert "overridden-everywhere" not in {finding.rule for finding in report.findings}
    why = "an environment that cannot be loaded may use a value of base.yaml"
    assert f"overridden-everywhere: {why} (three)" in report.unknown
