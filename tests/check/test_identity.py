from __future__ import annotations

from pathlib import Path

import pytest
from tests.check.conftest import CLEAN, Case, Check, hold

HOST = "connection_settings:\n  host: %s\n"
PINNED = HOST + "  hostaddr: %s\n"
PROTECTED = "protected: true\n"

CASES = (
    Case(
        "same-target",
        {"one": HOST % "db1", "two": PROTECTED + HOST % "[db0, DB1]"},
        "environments/one.yaml:2",
        "db1:5432/app is also the database of two",
        "error",
    ),
    Case(
        "same-target",
        {"one": "", "two": ""},
        "environments/base.yaml:2",
        severity="warning",
    ),
    Case("same-target", {"one": HOST % "db1", "two": HOST % "db2"}),
    Case("same-target", {"one": HOST % "db1", "two": HOST % "db1" + "  port: 5433\n"}),
    Case("same-target", {"one": HOST % "db1", "two": HOST % "db1" + "  dbname: other\n"}),
    *(
        Case(
            "same-target",
            {"one": PINNED % one, "two": PROTECTED + PINNED % two},
            "environments/one.yaml:3" if says else "",
            f"{says}:5432/app is also the database of two",
            "error",
        )
        for one, two, says in (
            (("b.example.com", "10.0.0.1"), ("a.example.com", "10.0.0.1"), "10.0.0.1"),
            (("b.example.com", "10.0.0.1"), ("10.0.0.1", ""), "10.0.0.1"),
            (("a.example.com", "10.0.0.1"), ("a.example.com", ""), "a.example.com"),
            (("[b, c]", "[10.0.0.2, 10.0.0.1]"), ("[d, a]", "[10.0.0.3, 10.0.0.1]"), "10.0.0.1"),
            (("a.example.com", "10.0.0.1"), ("a.example.com", "10.0.0.2"), ""),
        )
    ),
    Case(  # one has the address, the other one the name alone
        "same-target",
        {"one": HOST % "a.example.com", "two": PROTECTED + PINNED % ("a.example.com", "10.0.0.1")},
        "environments/one.yaml:2",
        "a.example.com:5432/app is also the database of two",
    ),
    Case("same-target", {"one": "local: true", "two": "local: true"}),
    Case(
        "foreign-host",
        {"one": HOST % "db.two.example.com", "two": HOST % "db2"},
        "environments/one.yaml:2",
        "named after two",
    ),
    Case(
        "foreign-host",
        {"one": HOST % "db-prod-eu.example.com", "prod-eu": HOST % "db2"},
        "environments/one.yaml:2",
        "named after prod-eu",
    ),
    Case("foreign-host", {"one": HOST % "db.one.example.com", "two": HOST % "db.two.example.com"}),
    Case("foreign-host", {"one": HOST % "twofold", "two": HOST % "db.two.example.com"}),
    Case("foreign-host", {"prod": HOST % "prod-eu.db", "prod-eu": HOST % "db2"}),
    Case(  # no name says it, and database and port differ
        "foreign-host",
        {
            "one": HOST % "DB1" + "  dbname: one\n  port: 5433\n",
            "two": PROTECTED + HOST % "[db0, db1]",
        },
        "environments/one.yaml:2",
        "host db1 is that of two",
        "error",
    ),
    Case(
        "foreign-host",
        {"one": HOST % "db1", "two": HOST % "db1"},
        "environments/two.yaml:2",
        "host db1 is that of one",
        "warning",
    ),
    Case(
        "foreign-host",
        {"one": "server: {shared: true}\n" + HOST % "two-db", "two": PROTECTED + HOST % "two-db"},
    ),
    Case("foreign-host", {"one": "extends: two\n", "two": PROTECTED + HOST % "db1"}),
    Case("foreign-host", {"one": "", "two": PROTECTED}),
    Case("foreign-host", {"one": HOST % "localhost", "two": HOST % "localhost"}),
    Case(
        "protected-localhost",
        {"one": PROTECTED + HOST % "localhost"},
        "environments/one.yaml:3",
        "this machine itself",
        "error",
    ),
    Case(
        "protected-localhost",
        {"one": PROTECTED + "local: true\n"},
        "environments/one.yaml:2",
        "embedded",
    ),
    Case(
        "protected-localhost",
        {"one": PROTECTED + PINNED % ("db.example.com", "127.0.0.1")},
        "environments/one.yaml:4",
        "this machine itself",
    ),
    Case("protected-localhost", {"one": PROTECTED + PINNED % ("localhost", "10.0.0.1")}),
    Case("protected-localhost", {"one": HOST % "localhost"}),
    Case("protected-localhost", {"one": PROTECTED}),
    Case(
        "superuser-name",
        {"one": "connection_settings:\n  user: postgres\n"},
        "environments/one.yaml:2",
        "superuser",
    ),
    Case("superuser-name", {"one": ""}),
    Case("superuser-name", {"one": "local: true\nconnection_settings: {user: postgres}\n"}),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rule(case: Case, tmp_path: Path) -> None:
    """The rule fires where the case says, or nowhere."""
    hold(tmp_path, case)


def test_a_named_connection_is_compared_too(checked: Check) -> None:
    """What one environment calls reports may be another's main database."""
    report = checked(
        base=CLEAN,
        one="connection_settings: {host: db1}",
        two="connections:\n  reports:\n    connection_settings:\n      host: db1\n",
    )
    (finding,) = [f for f in report.findings if f.rule == "same-target"]
    assert str(finding.origin) == "environments/two.yaml:4:13"
    assert finding.key == "connections.reports.connection_settings.host"
