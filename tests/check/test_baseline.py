from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.check.conftest import Check

from pgstrata.check import baseline
from pgstrata.errors import ConfigError
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
    known = {mark for mark, _ in baseline.fingerprints(old.findings)}
    assert old.with_baseline(known).findings == ()
    more = "connections: {a: {connection_settings: {user: root}}}\n"
    new = checked(one=f"\n\n{more}connection_settings: {{user: postgres}}\n").with_baseline(known)
    assert [f.key for f in new.findings] == ["connections.a.connection_settings.user"]
    assert [f.key for f in new.accepted] == ["connection_settings.user"]
    gone = checked(one="").with_baseline(known)
    assert (gone.findings, gone.accepted, gone.gone) == ((), (), 1)


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
