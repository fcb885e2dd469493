from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.check.conftest import Check, run, write

from pgstrata.check import baseline
from pgstrata.check.report import Report
from pgstrata.check.run import Selection, check
from pgstrata.errors import ConfigError
from pgstrata.loading import load_many
from pgstrata.model import Finding, Origin

FINDINGS = st.lists(
    st.builds(
        Finding,
        st.sampled_from(("a", "b")),
        st.text(),
        st.builds(
            Origin,
            st.just("overlay"),
            st.sampled_from(("x.yaml", "y.yaml")),
            st.integers(1, 9),
            st.integers(1, 9),
        ),
        environment=st.sampled_from(("x", "y")),
        key=st.sampled_from(("k", "l")),
    ),
    max_size=8,
)


@given(FINDINGS)
def test_what_was_written_is_known_again(findings: list[Finding]) -> None:
    """All findings are in their own baseline, and no entry of it is left over."""
    entries = json.loads(baseline.text(findings))["findings"]
    known = {entry["fingerprint"] for entry in entries}
    assert len(known) == len(findings)
    assert baseline.split(findings, known) == ([], findings, set())


@given(FINDINGS, st.integers(1, 99))
def test_fingerprints_stay_when_lines_move(findings: list[Finding], by: int) -> None:
    """Neither the line nor the message is in them."""
    from dataclasses import replace

    moved = [
        replace(f, message="other", origin=replace(f.origin, line=f.origin.line + by))
        for f in findings
    ]
    before, after = (
        [mark for mark, _ in baseline.fingerprints(some)] for some in (findings, moved)
    )
    assert before == after


def test_a_new_finding_is_not_in_the_baseline(checked: Check) -> None:
    """Also where it is of a rule and a file that the baseline knows."""
    old = checked(one="connection_settings: {user: postgres}")
    known = entries(old)
    assert old.with_baseline(known).findings == ()
    more = "connections: {a: {connection_settings: {user: root}}}\n"
    new = checked(one=f"\n\n{more}connection_settings: {{user: postgres}}\n").with_baseline(known)
    assert [f.key for f in new.findings] == ["connections.a.connection_settings.user"]
    assert [f.key for f in new.accepted] == ["connection_settings.user"]
    gone = checked(one="").with_baseline(known)
    assert (gone.findings, gone.accepted, gone.gone) == ((), (), 1)


def entries(report: Report) -> dict[str, dict[str, str]]:
    """Return the baseline of a report, as it is read."""
    found = json.loads(baseline.text(report.findings))["findings"]
    return {entry["fingerprint"]: entry for entry in found}


HOST = "connection_settings: {host: %s, user: %s}"
FILES = {
    "one": "connection_settings: {user: postgres, sslkey: none.key}",
    "two": "session_settings: {lock_timeout: 30}",
}


@pytest.mark.parametrize(
    ("selection", "environments", "gone"),
    [
        (Selection(), ("one", "two"), {"superuser-name", "file-missing", "unit", "same-target"}),
        (Selection(only=("superuser-name",)), ("one", "two"), {"superuser-name"}),
        (
            Selection(without=("unit", "file-missing")),
            ("one", "two"),
            {"superuser-name", "same-target"},
        ),
        (Selection(files=False), ("one", "two"), {"superuser-name", "unit", "same-target"}),
        (Selection(complete=False), ("one",), {"superuser-name", "file-missing"}),
        (Selection(complete=False), ("two",), {"unit"}),
        (Selection(complete=False), ("three",), set()),
    ],
)
def test_gone_is_only_what_was_looked_at(
    tmp_path: Path, selection: Selection, environments: tuple[str, ...], gone: set[str]
) -> None:
    """A run of some rules or environments knows nothing of the others."""
    known = entries(run(tmp_path, FILES))
    assert len(known) == 4
    write(tmp_path, {"one": HOST % ("a", "a"), "two": HOST % ("b", "b")})
    results = load_many(environments, project=tmp_path, environ={})
    report = check(results, tmp_path, {}, selection=selection)
    assert report.with_baseline(known).gone == len(gone)


def test_gone_is_nothing_of_what_cannot_be_loaded_or_told(checked: Check) -> None:
    """Nor has a rule that compares looked at anything then."""
    one, two, three = (HOST % both for both in (("a", "root"), ("b", "root"), ("a", "a")))
    known = entries(checked(one=one, two=two, three=three))
    rules = Counter(entry["rule"] for entry in known.values())
    assert (rules["superuser-name"], rules["same-target"], rules["foreign-host"]) == (2, 1, 1)
    broken = checked(one="a: b", two=HOST % ("b", "b"), three="")
    assert broken.with_baseline(known).gone == 1
    service = "connection_settings: {host: null, user: null, service: x}"
    unknown = checked(one=service, two=service, three=HOST % ("c", "c"))
    assert unknown.with_baseline(known).gone == 0


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"findings": []}', '{"findings": [1]}', "\0"])
def test_what_is_no_baseline_is_refused(tmp_path: Path, text: str) -> None:
    """A damaged one must not mean that there are no known findings, or that all are known."""
    path = tmp_path / "baseline.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"baseline\.json is not a baseline"):
        baseline.read(path)


def test_a_missing_baseline_is_refused(tmp_path: Path) -> None:
    """With the option that writes it."""
    with pytest.raises(ConfigError, match="cannot read") as caught:
        baseline.read(tmp_path / "none.json")
    assert "--update-baseline" in caught.value.hint
