from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema.protocols import Validator

from pgstrata.audit.judge import judge
from pgstrata.audit.model import Check, Fix, Gap, Outcome, Snapshot, Status, UnreadError
from pgstrata.audit.report import Report
from pgstrata.audit.run import ALL_CHECKS
from pgstrata.audit.view import View
from pgstrata.check.scope import Connection
from pgstrata.loading import load_mapping
from pgstrata.render.audit import RENDERERS, text
from pgstrata.render.audit.addresses import without_addresses
from pgstrata.render.columns import width

HOSTILE = 'a%0A::error::x|<script>`"&\'</pre>\r\n@all --> ]]> {"a": 1} \x07 ünï'
FIX = Fix("ALTER ROLE app SET x = 1;", "new sessions", "SHOW x;")


def view(environment: str, *, error: str = "", **facts: Any) -> View:
    """Return an endpoint of an environment with these facts."""
    settings = {"host": "db", "user": "app", "dbname": "shop"}
    config = load_mapping({"connection_settings": settings}, environ={})
    object.__setattr__(config, "environment", environment)
    seen = Snapshot(
        environment,
        "default",
        f"{environment}.db",
        "5432",
        "2026-03-01T10:00:00+00:00",
        seconds=0.25,
        viewer="app",
        error=error,
        facts={}
        if error
        else {"caps": ({"version": "18.4 (Debian)", "version_num": 180004},), **facts},
    )
    return View(Connection(config, "default", config.connection()), seen)


def says(name: str, *outcomes: Outcome, **more: Any) -> Check:
    """Return a check that says this of every endpoint."""
    return Check(name, "fail", f"what of {name}", f"why of {name}", find=lambda _: outcomes, **more)


def cannot(name: str, why: str, grant: str) -> Check:
    """Return a check that could not look."""

    def find(_: View) -> list[Outcome]:
        raise UnreadError(Gap(why, grant))

    return Check(name, "fail", "what", "why", find=find)


def report(*checks: Check, views: tuple[View, ...] = (), **more: Any) -> Report:
    """Return the report of these checks over some endpoints."""
    over = views or (view("one"), view("two"))
    return Report(Path(), checks, over, judge(over, checks), **more)


FULL = (
    says("a.fine", Outcome("ok", "all well", observed="3")),
    says(
        "a.bad", Outcome("fail", "too few", "pool", "3", "9", "services", (FIX,), ("n = 3 (f:1)",))
    ),
    says("a.poor", Outcome("warn", "tight"), Outcome("ok", "")),
    says("a.note", Outcome("info", "by the way")),
    cannot("a.hidden", "app may not read it", "GRANT x TO app; GRANT y TO app;"),
)
UNREACHED = view("three", error="cannot connect: refused")


def test_the_matrix_has_a_column_for_each_endpoint() -> None:
    """With status and value; what is ok everywhere is one line, what could not be audited too."""
    lines = text.render(report(*FULL, views=(view("one"), view("two"), UNREACHED))).splitlines()
    assert lines[0].split() == ["one", "two"]
    assert lines[1].split() == ["18.4", "18.4"]
    assert lines[2].split() == ["as", "app", "as", "app"]
    assert re.fullmatch(r"a\.bad +FAIL 3 +FAIL 3", lines[3])
    assert re.fullmatch(r"a\.poor +WARN \+1 +WARN \+1", lines[4])
    assert "ok everywhere: a.fine" in lines
    assert "  three/default (three.db:5432): cannot connect: refused" in lines


def test_what_is_the_same_in_several_environments_is_said_once() -> None:
    """With the names of all."""
    said = text.render(report(*FULL))
    assert said.count("too few") == 1
    assert "FAIL a.bad pool: one (one.db:5432), two (two.db:5432)" in said


def test_a_finding_has_all_that_is_needed_to_mend_it() -> None:
    """Observed, expected, evidence, why, the fix, when it counts, and how to see that."""
    said = text.render(report(*FULL))
    block = said[said.index("FAIL a.bad") :].split("\n\n")[0].splitlines()[1:]
    assert block == [
        "  too few",
        "  observed 3, expected 9",
        "  n = 3 (f:1)",
        "  wanted by services",
        "  why: why of a.bad",
        "  fix (new sessions): ALTER ROLE app SET x = 1;",
        "  verify: SHOW x;",
        "  more: pgstrata audit --explain a.bad",
    ]


def test_what_could_not_be_checked_ends_in_one_block_of_grants() -> None:
    """Each statement once, however many endpoints and checks want it."""
    said = text.render(report(*FULL, cannot("b.hidden", "app may not read it", "GRANT x TO app;")))
    block = said[said.index("To see more") :].split("\n\n")[0].splitlines()[1:]
    assert block == ["  GRANT x TO app;", "  GRANT y TO app;"]
    assert "  a.hidden, b.hidden: one (one.db:5432), two (two.db:5432)" in said


def test_the_summary_tells_what_was_not_checked() -> None:
    """As plainly as what was."""
    last = text.render(report(*FULL, views=(view("one"), UNREACHED))).splitlines()[-1]
    assert last == (
        "8 checked, 3 not checked: 2 fail, 2 warn, 2 info, 3 unknown, 2 ok, 1 not audited"
    )


@pytest.mark.parametrize("terminal", [40, 80, 200])
def test_a_matrix_that_is_too_wide_goes_on_below(terminal: int) -> None:
    """In groups of columns that fit, none of them lost."""
    views = tuple(view(f"environment{number}") for number in range(12))
    said = text.render(report(*FULL[:3], views=views), terminal=terminal)
    tables = [part for part in said.split("\n\n") if re.search(r"^a\.bad ", part, re.MULTILINE)]
    lines = [line for table in tables for line in table.splitlines()]
    assert max(map(width, lines)) <= max(terminal, 40)
    heads = [name for table in tables for name in table.splitlines()[0].split()]
    assert heads == [f"environment{number}" for number in range(12)]


def test_colour_is_only_for_eyes() -> None:
    """And for findings."""
    assert "\x1b" not in text.render(report(*FULL))
    assert text.render(report(*FULL), colour=True).count("\x1b[1;31m") == 1


@pytest.mark.parametrize("colour", [False, True])
def test_no_text_of_a_server_looks_like_a_finding(*, colour: bool) -> None:
    """Its line ends start no line, and its colours are not ours."""
    forged = "\n\nFAIL a.forged: one\x1b[1;31m"
    fix = (Fix(forged, "reload", forged),)
    outcome = Outcome("warn", forged, forged, forged, forged, fix=fix, evidence=(forged,))
    views = (view("one"), view("two", error=forged))
    hidden = cannot("b", forged, forged)
    said = text.render(report(says("a", outcome), hidden, views=views), colour=colour)
    assert not [line for line in said.split("\n") if line.startswith("FAIL")]
    assert "\x1b[1;31m" not in said


@pytest.mark.parametrize("form", [form for form in RENDERERS if form != "prometheus"])
def test_every_format_leads_to_the_page_of_a_check(form: str) -> None:
    """By a command, which anybody has who has the report."""
    found = RENDERERS[form](report(*FULL))
    assert "pgstrata audit --explain " in found


def hostile(status: Status) -> Check:
    """Return a check of which every text is hostile."""
    fix = Fix(HOSTILE, "reload", HOSTILE)
    return says("x", Outcome(status, HOSTILE, HOSTILE, HOSTILE, HOSTILE, "", (fix,), (HOSTILE,)))


class Tags(HTMLParser):
    """The tags of a page, and the addresses in it."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note one."""
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]


@pytest.mark.parametrize("form", RENDERERS)
def test_hostile_text_stays_text(form: str) -> None:
    """No format is broken by what a server or a file says."""
    made = report(hostile("fail"), cannot("y", HOSTILE, HOSTILE), views=(view("one"),))
    found = RENDERERS[form](made)
    assert all(line.isprintable() for line in found.split("\n"))
    if form == "junit":
        ET.fromstring(found)
    elif form in ("json", "sarif"):
        json.loads(found)
        assert found.isascii()
    elif form == "html":
        page = Tags()
        page.feed(found)
        assert page.tags.count("script") == 1
        assert not page.addresses
    elif form == "markdown":
        assert "<script>" not in re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", found)
    elif form == "prometheus":
        assert all(LINE.fullmatch(line) for line in found.splitlines())


LINE = re.compile(r'# (HELP|TYPE) .*|pgstrata_audit_\w+\{(\w+="(\\.|[^"\\])*",?)*\} -?[0-9.e+]+')


def test_sarif_is_valid(schema: Validator) -> None:
    """With every check as a rule, whether or not it found something."""
    made = report(*FULL, *ALL_CHECKS, views=(view("one"), UNREACHED))
    log = json.loads(RENDERERS["sarif"](made))
    schema.validate(log)
    run = log["runs"][0]
    assert len(run["tool"]["driver"]["rules"]) == len(FULL) + len(ALL_CHECKS)
    assert not run["invocations"][0]["executionSuccessful"]
    bad = next(result for result in run["results"] if result["ruleId"] == "a.bad")
    assert bad["level"] == "error"
    place = bad["locations"][0]["physicalLocation"]
    assert unquote(place["artifactLocation"]["uri"]) == "environments/one.yaml"


def test_junit_counts_what_it_holds() -> None:
    """What is unknown is skipped, and what could not be audited an error."""
    suites = ET.fromstring(RENDERERS["junit"](report(*FULL, views=(view("one"), UNREACHED))))
    one, three = suites
    assert (one.get("failures"), one.get("skipped"), one.get("errors")) == ("1", "1", "0")
    assert three.get("errors") == "1"
    cases = {case.get("name"): [part.tag for part in case] for case in one}
    assert cases["a.bad"] == ["failure"]
    assert cases["a.hidden"] == ["skipped"]
    assert cases["a.poor"] == ["system-out"]
    assert cases["a.fine"] == []


def test_prometheus_counts_every_status() -> None:
    """Zeros too, so that a rule on them does not go silent."""
    lines = RENDERERS["prometheus"](report(*FULL, views=(view("one"), UNREACHED))).splitlines()
    place = 'environment="one",connection="default",server="one.db:5432"'
    assert f"pgstrata_audit_up{{{place}}} 1" in lines
    assert f'pgstrata_audit_results{{{place},status="fail"}} 1' in lines
    assert f'pgstrata_audit_results{{{place},status="waived"}} 0' in lines
    assert f'pgstrata_audit_findings{{{place},check="a.bad",status="fail"}} 1' in lines
    assert [line for line in lines if line.startswith("pgstrata_audit_up{") and line[-1] == "0"]
    samples = [line.rpartition(" ")[0] for line in lines if line[0] != "#"]
    assert len(samples) == len(set(samples))


def test_html_shows_capacity_only_where_it_is_known() -> None:
    """Without declared services there is nothing to draw."""
    assert "<svg" not in RENDERERS["html"](report(*FULL))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("10.0.0.1 and 10.0.0.2, 10.0.0.1", "address-1 and address-2, address-1"),
        ("db:5432 10.0.0.1:5432", "db:5432 address-1:5432"),
        ("[::1]:5432 and fd00::2/128", "[address-1]:5432 and address-2/128"),
        ("10.0.0.0/16", "address-1/16"),
        ("at 22:16:54 on 2026-11-22T22:16:54+00:00", "at 22:16:54 on 2026-11-22T22:16:54+00:00"),
        ("SARIF 2.1.0, 15.18, a::b", "SARIF 2.1.0, 15.18, address-1"),
        ('"10.0.0.1"', '"address-1"'),
        ("host 10.0.0.1.", "host address-1."),
    ],
)
def test_addresses_and_nothing_else_are_redacted(said: str, expected: str) -> None:
    """The same one always by the same number."""
    assert without_addresses(said) == expected


@given(st.ip_addresses())
def test_no_address_gets_through(address: object) -> None:
    """Whichever it is."""
    assert str(address) not in without_addresses(f"host={address}, or ({address})")
