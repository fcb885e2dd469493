from __future__ import annotations

from pathlib import Path

import pytest
from tests.check.conftest import CLEAN, Check, run

from pgstrata.check.report import Report, merged
from pgstrata.check.run import Selection
from pgstrata.check.scope import Project

UNDECIDED = {
    *("tls-optional", "tls-unverified", "no-root-certificate", "no-channel-binding"),
    *("same-target", "foreign-host", "protected-localhost", "superuser-name"),
    *("weaker-tls", "weaker-channel-binding", "weaker-timeout", "no-statement-timeout"),
}
USER = "connection_settings:\n  user: postgres\n"


def rules(report: Report) -> list[str]:
    """Return the rules of a report's findings."""
    return [finding.rule for finding in report.findings]


def test_only_some_rules(tmp_path: Path) -> None:
    """The others do not run, and are not said to have run."""
    files = {"one": "connection_settings:\n  user: postgres\n  keepalives: 0\n"}
    only = run(tmp_path, files, selection=Selection(only=("superuser-name",)))
    assert (rules(only), only.ran) == (["superuser-name"], ("superuser-name",))
    without = run(tmp_path, files, selection=Selection(without=("superuser-name",)))
    assert rules(without) == ["keepalives-off"]
    assert "superuser-name" not in without.ran


def test_what_needs_all_environments_is_said_not_to_be_checked(tmp_path: Path) -> None:
    """A rule that compares is not run on a part."""
    files = {"one": "", "two": ""}
    part = run(tmp_path, files, selection=Selection(complete=False))
    assert "same-target" not in rules(part)
    assert "rules that compare environments; --all runs them" in part.unknown
    assert "same-target" in rules(run(tmp_path, files))


def test_what_a_service_file_of_another_machine_decides_is_said_not_to_be_checked(
    checked: Check,
) -> None:
    """No rule about the host, TLS or a timeout passes what it cannot see."""
    service = "connection_settings: {service: prod}\n"
    report = checked(base="", one=service, two=f"protected: true\n{service}")
    said = {note.partition(": ")[0] for note in report.unknown if "the service file" in note}
    assert said == UNDECIDED
    assert "protected-localhost: the service file decides the host (two)" in report.unknown
    assert "tls-optional: the service file decides the sslmode (one, two)" in report.unknown
    assert report.findings == ()


def test_a_service_file_of_this_machine_is_looked_into(checked: Check, tmp_path: Path) -> None:
    """What it says is checked as if the environment said it."""
    (tmp_path / ".pg_service.conf").write_text("[prod]\nhost=db1\nsslmode=require\n")
    left_out = "host: null, sslmode: null, sslrootcert: null"
    report = checked(one=f"connection_settings: {{{left_out}, service: prod}}")
    assert "tls-unverified" in rules(report)
    assert not [note for note in report.unknown if "the service file" in note]


def test_a_broken_environment_does_not_hide_the_others(checked: Check) -> None:
    """It is said that only its loading was checked."""
    report = checked(one="connection_settings: {hots: a}", two=USER)
    assert report.broken == {"one"}
    assert rules(report) == ["unknown-key", "superuser-name"]
    assert "it cannot be loaded, so only that was checked (one)" in report.unknown


def test_an_inherited_value_is_one_finding(checked: Check) -> None:
    """Named connections inherit it, and say nothing new."""
    report = checked(one=USER + "connections: {a: {}, b: {connection_settings: {dbname: b}}}\n")
    assert rules(report) == ["superuser-name"]


def test_the_same_in_several_environments_is_merged(checked: Check) -> None:
    """One finding names them all."""
    base = CLEAN.replace("user: app", "user: postgres")
    report = checked(base=base, one="", two="connection_settings: {host: b}")
    found = [finding for finding in merged(report.findings) if finding.rule == "superuser-name"]
    assert [finding.environment for finding in found] == ["one, two"]
    assert rules(report).count("superuser-name") == 2


def test_findings_have_their_source_line_with_secrets_masked(checked: Check) -> None:
    """The caret's column is in the masked line."""
    report = checked(one="connection_settings: {password: kX7canary, user: postgres}\n")
    assert "kX7canary" not in repr(report)
    finding = next(f for f in report.findings if f.rule == "superuser-name")
    assert finding.excerpt[finding.caret - 1 :].startswith("postgres")


@pytest.mark.parametrize(
    ("fail_on", "failures"), [("error", 1), ("warning", 2), ("info", 3), (None, 0)]
)
def test_fail_on(checked: Check, fail_on: str | None, failures: int) -> None:
    """The named severity and what is worse."""
    from dataclasses import replace

    report = checked(
        one="connection_settings: {user: postgres, password: x}\n"
        "pool_settings: {max_lifetime: 7200}\n"
    )
    report = replace(report, fail_on=fail_on)  # type: ignore[arg-type]  # the parameters above
    own = [f for f in report.failures if f.rule != "no-channel-binding"]
    assert len(own) == failures


def test_no_rule_needs_an_environment() -> None:
    """A project without environments is no special case."""
    from pgstrata.check.registry import RULES

    empty = Project((), {})
    assert [found for rule in RULES for found in rule.find(empty)] == []
