from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.check.conftest import Check

from pgstrata.check import ignores

USER = "connection_settings:\n  user: postgres%s\n"
IGNORE = "  # pgstrata: ignore[superuser-name] because the server is a toy"


def rules(report: object) -> list[str]:
    """Return the rules of a report's findings."""
    return [finding.rule for finding in report.findings]  # type: ignore[attr-defined]  # a Report


@pytest.mark.parametrize(
    "text",
    [
        USER % IGNORE,
        f"connection_settings:\n{IGNORE}\n  user: postgres\n",
        f"connection_settings:\n{IGNORE}\n\n  # more to say\n  user: postgres\n",
        USER % IGNORE.replace("superuser-name", "same-target, superuser-name"),
        USER % IGNORE.replace(" because", ":"),
    ],
)
def test_a_finding_is_ignored_with_its_reason(checked: Check, text: str) -> None:
    """On the line itself or above it; what is ignored is still in the report."""
    report = checked(one=text)
    assert "superuser-name" not in rules(report)
    ((finding, ignore),) = report.ignored
    assert (finding.rule, ignore.reason) == ("superuser-name", "the server is a toy")


def test_the_comment_at_the_top_is_for_the_file_as_a_whole(checked: Check) -> None:
    """What is missing stands at line 1, which may not be the line below the comment."""
    base = "connection_settings: {host: /tmp, dbname: a, user: a}\n"
    text = "# Mine.\n# pgstrata: ignore[no-statement-timeout] because I wait\n\nconnections: {}\n"
    assert rules(checked(base=base, one=text)) == []


@pytest.mark.parametrize(
    ("comment", "rule"),
    [
        ("# pgstrata: ignore[superuser-name]", "ignore-without-reason"),
        ("# pgstrata: ignore[superuser-name] because", "ignore-without-reason"),
        ("# pgstrata: ignore[superuser-name] because …", "ignore-without-reason"),
        ("# pgstrata: ignore superuser-name because x", "unknown-ignore"),
        ("# pgstrata: ignore[super-user-name] because x", "unknown-ignore"),
        ("# pgstrata: ignore[] because x", "unknown-ignore"),
    ],
)
def test_what_is_no_ignore_ignores_nothing(checked: Check, comment: str, rule: str) -> None:
    """And it is a finding of its own, at the comment."""
    report = checked(one=USER % f"  {comment}")
    assert sorted(rules(report)) == sorted([rule, "superuser-name"])
    (finding,) = [f for f in report.findings if f.rule == rule]
    assert (finding.origin.line, finding.environment) == (2, "one")
    assert finding.origin.column == len("  user: postgres  ") + 1


def test_an_ignore_that_is_not_needed_is_told(checked: Check) -> None:
    """It would hide the next finding there."""
    report = checked(one=USER.replace("postgres", "app2") % IGNORE)
    assert rules(report) == ["unused-ignore"]


def test_a_comment_elsewhere_does_not_count(checked: Check) -> None:
    """Not on the line below, and not in another environment's file."""
    text = "connection_settings:\n  user: postgres\n  # x\n  dbname: b" + IGNORE + "\n"
    assert "superuser-name" in rules(checked(one=text))


def test_what_fails_loading_cannot_be_ignored(checked: Check) -> None:
    """An environment that cannot be loaded is not usable, whatever a comment says."""
    report = checked(
        one="connection_settings:\n  hots: a  # pgstrata: ignore[unknown-key] because x\n"
    )
    assert report.broken == {"one"}
    assert "unknown-key" in rules(report)


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    """No file makes the reader fail, and every place is in the file."""
    written, findings = ignores.read("a.yaml", f"a: b # pgstrata: {text}")
    lines = max(len(text.splitlines()), 1) + 1
    assert all(1 <= line <= lines for ignore in written for line in ignore.lines)
    assert all(1 <= finding.origin.line <= lines for finding in findings)
