from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import ValidationError
from jsonschema.protocols import Validator
from tests.check.conftest import Case, run
from tests.check.test_registry import CASES

from pgstrata.check import baseline
from pgstrata.check.registry import EXPLANATIONS
from pgstrata.check.report import Report, merged
from pgstrata.check.scan import File, scan
from pgstrata.model import Finding, Origin
from pgstrata.render import sarif
from pgstrata.render.reports import RENDERERS

FIRING = [case for case in CASES if case.at]
HOSTILE = 'a%0A::error::x|<script>`"&\'</pre>\r\n@all --> ]]> {"a": 1} \x07 ünï'
MACHINE = ("json", "github", "sarif", "junit")


def report_of(*findings: Finding, project: Path = Path()) -> Report:
    """Return a report of findings that nothing has found."""
    return Report(project, ("one", "two"), frozenset(), frozenset(), findings, ran=("policy",))


def hostile(text: str = HOSTILE) -> Finding:
    """Return a finding of which every text is hostile."""
    origin = Origin("overlay", "environments/one.yaml", 3, 7)
    return Finding("policy", text, origin, "warning", "one", text, text, text, 3)


Places = set[tuple[str, int]]


def _in_text(pattern: str, text: str) -> Places:
    return {(file, int(line)) for file, line in re.findall(pattern, text, re.MULTILINE)}


def _in_sarif(text: str) -> Places:
    results = json.loads(text)["runs"][0]["results"]
    physical = [result["locations"][0]["physicalLocation"] for result in results]
    return {(unquote(p["artifactLocation"]["uri"]), p["region"]["startLine"]) for p in physical}


def _in_json(text: str) -> Places:
    origins = [finding["origin"] for finding in json.loads(text)["findings"]]
    return {(origin["source"], origin.get("line", 1)) for origin in origins}


def _in_junit(text: str) -> Places:
    cases = ET.fromstring(text).iter("testcase")
    return {(case.get("file", ""), int(case.get("line", 0))) for case in cases} | _in_text(
        r"^(?:\s*<.*>)?([^\s<>]+\.yaml):(\d+):\d+: ", text
    )


READERS: Mapping[str, Callable[[str], Places]] = {
    "github": lambda text: _in_text(r"^::\w+ file=([^,]*),line=(\d+)", text),
    "junit": _in_junit,
    "sarif": _in_sarif,
    "json": _in_json,
}


def places(output: str, text: str) -> Places:
    """Return the file and line of each finding, as a reader of the format takes them."""
    if output in READERS:
        return READERS[output](text)
    return _in_text(r"(environments/[\w.-]+?\.yaml):(\d+):\d+", text.replace("\\", ""))


@pytest.mark.parametrize("case", FIRING, ids=str)
def test_every_rule_has_the_right_place_in_every_format(
    case: Case, tmp_path: Path, schema: Validator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File and line are those of the file, whatever the format; and the SARIF is valid."""
    monkeypatch.chdir(tmp_path)
    report = run(tmp_path, case.files, case.environ)
    file, line = case.at.split(":")
    for output, render in RENDERERS.items():
        text = render(report)
        assert (file, int(line)) in places(output, text), (output, text)
        assert case.rule in text.replace("\\", "")
    schema.validate(json.loads(RENDERERS["sarif"](report)))


SETTING = "connection_settings:\n  %s\n"
SESSION = "session_settings:\n  %s\n"
USER = SETTING % "user: postgres  # pgstrata: %s"
# Rule, the file of an environment, and the line that the finding is at.
LOADING = (
    ("yaml-syntax", "a: [}\n", 1),
    ("duplicate-key", SETTING % "port: 1\n  port: 2", 3),
    ("unknown-section", "\nconection_settings: {}\n", 2),
    ("misplaced-section", "\npolicy: []\n", 2),
    ("unknown-key", "\n" + SETTING % "hots: a", 3),
    ("unknown-parameter", SESSION % "statement_timeuot: 1s", 2),
    ("server-parameter", SESSION % "max_connections: 9", 2),
    ("invalid-name", "connections:\n  a__b: {}\n", 2),
    ("invalid-type", "\npool_settings: 9\n", 2),
    ("invalid-value", SETTING % "port: many", 2),
    ("invalid-url", SETTING % "url: postgresql://a:b@c@d/", 2),
    ("sealed-file", "", 1),
    ("interpolation", SETTING % "password: ${A:-b}", 2),
    ("extends", "\nextends: three\n", 2),
    ("missing-setting", SETTING % "host: null", 1),
    ("pool-size", "pool_settings:\n  min_size: 9\n  max_size: 2\n", 3),
    ("libpq", SETTING % "port: '1,2,3'", 2),
    ("pooler-session-settings", "pooler: transaction\n" + SESSION % "lock_timeout: 1s", 3),
    ("unit", SESSION % "lock_timeout: 30", 2),
    ("file-missing", SETTING % "sslkey: none.key", 2),
    ("file-permissions", SETTING % "sslkey: open.key", 2),
    ("readable-secret-file", SETTING % "password: {from_file: open.key}", 2),
    ("ignore-without-reason", USER % "ignore[superuser-name]", 2),
    ("unknown-ignore", USER % "ignore[super] because x", 2),
    ("unread-file", "", 1),
    ("unused-ignore", USER % "ignore[unit] because x", 2),
    # What is in no line: the top of the environment's own file.
    ("unreadable", "", 1),
    ("unknown-variable", "", 1),
    ("unread-variable", "", 1),
)
SCANNED = (
    ("clear-secret", SETTING % "password: kX7", 2),
    ("url-password", "\n# postgresql://a:kX7@c/d\n", 2),
    ("private-key", f"\n\n# PGSTRATAsk1_a_{'A' * 52}_{'A' * 8}\n", 3),
)
VARIABLES = {"unknown-variable": {"PGSTRATA_A__B": ""}, "unread-variable": {"PGSTRATA_A": ""}}
# Shown by `audit`, and found in a sealed file that only its key can write.
PLACED_ELSEWHERE = {"waiver", "stored-key"}


def test_every_rule_has_a_place_to_be_held_against() -> None:
    """None is left out."""
    shown = {case.rule for case in FIRING} | {rule for rule, *_ in (*LOADING, *SCANNED)}
    assert set(EXPLANATIONS) - shown == PLACED_ELSEWHERE


def prepare(project: Path, rule: str) -> tuple[str, dict[str, str]]:
    """Make what a rule needs beside the file. Return the file of the finding, and the variables."""
    folder, own = project / "environments", "environments/one.yaml"
    folder.mkdir()
    (project / "open.key").write_text("x")
    (project / "open.key").chmod(0o644)
    if rule == "sealed-file":
        (folder / "one.sealed.yaml").write_text("x: 1\n")
        own = "environments/one.sealed.yaml"
    if rule == "unreadable":
        (folder / "one.local.yaml").mkdir()
        own = "environments/one.local.yaml"
    if rule == "unread-file":
        (folder / "two.eu.yaml").write_text("")
        own = "environments/two.eu.yaml"
    return own, VARIABLES.get(rule, {})


def hold_places(report: Report, rule: str, place: tuple[str, int]) -> None:
    """Assert that a rule's finding is at its place in every format."""
    (origin, *_) = (finding.origin for finding in report.findings if finding.rule == rule)
    for output, render in RENDERERS.items():
        said = render(report)
        plain = said.replace("\\", "")
        inside = origin.line or output in ("github", "sarif")
        assert place in places(output, said) if inside else origin.source in plain, (output, said)
        assert rule in plain


@pytest.mark.skipif(os.name != "posix", reason="files have no such modes elsewhere")
@pytest.mark.parametrize(("rule", "text", "line"), LOADING, ids=[rule for rule, *_ in LOADING])
def test_what_loading_finds_has_the_right_place_in_every_format(
    rule: str, text: str, line: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the environment cannot be loaded."""
    monkeypatch.chdir(tmp_path)
    file, environ = prepare(tmp_path, rule)
    report = run(tmp_path, {"one": text}, environ)
    hold_places(report, rule, (file, line))


@pytest.mark.parametrize(("rule", "text", "line"), SCANNED, ids=[rule for rule, *_ in SCANNED])
def test_what_a_scan_finds_has_the_right_place_in_every_format(
    rule: str, text: str, line: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the secret."""
    monkeypatch.chdir(tmp_path)
    file = "environments/one.yaml"
    (finding,) = scan([File(file, text.encode())]).findings
    report = report_of(replace(finding, environment="one"), project=tmp_path)
    hold_places(report, rule, (file, line))
    assert not any("kX7" in render(report) for render in RENDERERS.values())


@pytest.mark.parametrize("output", RENDERERS)
def test_nothing_is_hidden(output: str) -> None:
    """What was not checked is in every format, and counts in those for people."""
    report = replace(report_of(hostile("plain")), unknown=("the moon",))
    text = RENDERERS[output](report).replace("\\", "")
    assert "the moon" in text
    assert "plain" in text
    if output not in MACHINE:
        assert "2 environments, 1 rule: 1 warning" in text


def test_github_commands_cannot_be_broken_out_of() -> None:
    """A message stays one command, and is what it was when it is read as GitHub reads it."""
    text = RENDERERS["github"](report_of(hostile()))
    first, last = text.splitlines()
    match = re.fullmatch(r"::warning file=([^,]*),line=3,col=7,title=policy::(.*)", first)
    assert match
    read = match[2].replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%")
    assert read == f"{HOSTILE} [one]\n{HOSTILE}"
    assert last.startswith("::notice title=pgstrata check::")


def test_markdown_is_inert() -> None:
    """No markup, no mention, no table cell comes out of a message."""
    text = RENDERERS["markdown"](report_of(hostile()))
    row = next(line for line in text.splitlines() if line.startswith("| warning"))
    assert len(re.findall(r"(?<!\\)\|", row)) == 6
    assert "<script" not in text
    assert "\\@all" in row


class _Page(HTMLParser):
    """Gathers what a page loads, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "action")]

    def handle_data(self, data: str) -> None:
        self.cells.append(data)


def test_html_is_one_file_and_inert() -> None:
    """It loads nothing, has one script of its own, and shows a message as text."""
    page = _Page()
    page.feed(RENDERERS["html"](report_of(hostile())))
    assert page.loads == []
    assert page.tags.count("script") == 1
    assert page.tags.count("tr") == 2
    assert HOSTILE in page.cells


@given(st.text())
@settings(max_examples=50)
def test_any_text_gives_what_a_reader_can_read(text: str) -> None:
    """XML, JSON and SARIF are well-formed whatever a message holds."""
    report = report_of(hostile(text))
    ET.fromstring(RENDERERS["junit"](report))
    assert json.loads(RENDERERS["json"](report))["findings"][0]["message"] == text
    result = json.loads(RENDERERS["sarif"](report))["runs"][0]["results"][0]
    assert result["message"]["text"] == f"{text} [one]" + (f"\n{text}" if text else "")


def test_junit_counts_and_statuses() -> None:
    """A failure is a failed test, a milder finding is output of one that passes."""
    error = replace(hostile("bad"), severity="error", rule="same-target", environment="two")
    report = replace(
        report_of(hostile("mild"), error), unknown=("x",), missing=frozenset({"three"})
    )
    report = replace(report, environments=("one", "two", "three"))
    suites = {s.get("name"): s for s in ET.fromstring(RENDERERS["junit"](report))}
    assert suites["one"].get("failures") == "0"
    assert suites["one"].find("testcase/system-out") is not None
    assert (suites["two"].get("tests"), suites["two"].get("failures")) == ("2", "1")
    failed = suites["two"].find("testcase[@name='same-target']")
    assert failed is not None
    assert (failed.get("file"), failed.get("line")) == ("environments/one.yaml", "3")
    assert suites["three"].get("failures") == "1"
    assert suites["not checked"].get("skipped") == "1"


def test_sarif_is_valid_with_all_that_can_be_in_it(schema: Validator) -> None:
    """Suppressions, notifications, a place that is no file, and hostile texts."""
    from pgstrata.check.ignores import Ignore

    place = Origin("overlay", "environments/one.yaml", 3, 7)
    ignore = Ignore("policy", "of a reason", place, frozenset({3}))
    variable = replace(hostile("v"), origin=Origin("environment", "PGSTRATA_X"))
    report = replace(
        report_of(hostile(), variable),
        ignored=((hostile("i"), ignore),),
        accepted=(hostile("b"),),
        unknown=("x",),
        broken=frozenset({"two"}),
    )
    log = json.loads(sarif.render(report))
    schema.validate(log)
    (one,) = log["runs"]
    kinds = [result.get("suppressions", [{}])[0].get("kind") for result in one["results"]]
    assert sorted(map(str, kinds)) == ["None", "None", "external", "inSource"]
    assert one["invocations"][0]["executionSuccessful"] is False
    for result in one["results"]:
        assert one["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]


def test_the_schema_would_find_a_mistake(schema: Validator) -> None:
    """The validation is one."""
    log = json.loads(sarif.render(report_of(hostile())))
    log["runs"][0]["results"][0]["level"] = "critical"
    with pytest.raises(ValidationError):
        schema.validate(log)


def test_sarif_fingerprints_stay_when_lines_move_or_an_environment_joins(tmp_path: Path) -> None:
    """GitHub would open the alert anew otherwise."""

    def marks(**files: str) -> set[str]:
        log = json.loads(sarif.render(run(tmp_path, files)))
        results = log["runs"][0]["results"]
        return {
            r["partialFingerprints"]["pgstrata/v1"] for r in results if r["ruleId"] != "same-target"
        }

    user = "connection_settings: {host: /tmp, dbname: a, user: postgres}\n"
    timeout = "session_settings: {statement_timeout: 30s}\n"
    before = marks(base=user + timeout, one="")
    assert len(before) == 1
    assert marks(base=f"# moved\n\n{timeout}{user}", one="", two="") == before


def test_sarif_fingerprints_differ_and_stay_when_a_finding_is_ignored(tmp_path: Path) -> None:
    """What is ignored is numbered together with what counts, in the order of the file."""
    base = "connection_settings: {host: /tmp, dbname: a, user: a}\n"
    text = "services:\n- {nam: a}%s\n- {nam: b}\n"
    ignore = "  # pgstrata: ignore[invalid-service] because it is a toy"

    def marks(comment: str) -> list[str]:
        log = json.loads(sarif.render(run(tmp_path, {"base": base, "one": text % comment})))
        results = [r for r in log["runs"][0]["results"] if r["ruleId"] == "invalid-service"]
        assert [bool(r.get("suppressions")) for r in results] == [bool(comment), False]
        return [r["partialFingerprints"]["pgstrata/v1"] for r in results]

    before = marks("")
    assert len(set(before)) == 2
    assert marks(ignore) == before


def test_files_are_named_as_seen_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CI runs at the top of a repository, and the project may be further down."""
    project = tmp_path / "services" / "shop é"
    project.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    report = report_of(hostile("x"), project=project)
    for output in ("github", "sarif", "junit", "markdown", "html"):
        assert ("services/shop é/environments/one.yaml", 3) in places(
            output, RENDERERS[output](report)
        ) or "services/shop é/environments/one.yaml:3:7" in RENDERERS[output](report)
    monkeypatch.chdir(project)
    assert ("environments/one.yaml", 3) in places("github", RENDERERS["github"](report))


def test_text_says_what_is_the_same_once() -> None:
    """With the counts of each environment."""
    finding = hostile("the same")
    report = report_of(finding, replace(finding, environment="two"))
    text = RENDERERS["text"](report)
    assert text.count("the same") == str(finding).count("the same") + 2
    assert "one: 1 warning\ntwo: 1 warning\n2 environments, 1 rule: 2 warnings\n" in text
    assert len(merged(report.findings)) == 1


def test_json_has_a_finding_for_each_environment() -> None:
    """And says what was ignored and accepted."""
    finding = hostile("x")
    report = replace(report_of(finding, replace(finding, environment="two")), accepted=(finding,))
    shape = json.loads(RENDERERS["json"](report))
    assert [one["environment"] for one in shape["findings"]] == ["one", "two"]
    assert len(shape["accepted"]) == 1
    assert next(iter(baseline.fingerprints([finding])))[0] not in RENDERERS["json"](report)
