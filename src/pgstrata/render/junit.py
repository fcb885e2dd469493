"""JUnit's XML, as CI servers read it: an environment is a suite, a rule a test."""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.sax.saxutils import escape, quoteattr

from pgstrata.check.report import Report
from pgstrata.model import Finding
from pgstrata.render.statuses import place, where

# What XML 1.0 cannot hold, not even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(report: Report) -> str:
    """Return a suite for each environment, and in it a test for each rule that ran or found
    something.

    Findings that do not fail the run are output of a test that passes. What was not checked is a
    skipped test of a suite of its own.
    """
    suites = [_suite(report, name) for name in report.environments]
    if report.unknown:
        cases = [case("not checked", what, "<skipped/>") for what in report.unknown]
        suites.append(suite("not checked", cases))
    return document(suites)


def _suite(report: Report, environment: str) -> str:
    own: dict[str, list[Finding]] = {}
    if environment in report.missing or environment in report.broken:
        rules: tuple[str, ...] = ()
    else:
        rules = report.ran
    for finding in report.findings:
        if finding.environment == environment:
            own.setdefault(finding.rule, []).append(finding)
    cases = [
        _rule(report, environment, rule, own.get(rule, ()))
        for rule in {**dict.fromkeys(rules), **own}
    ]
    if environment in report.missing:
        cases.append(case(environment, "exists", '<failure message="no such environment"/>'))
    return suite(environment, cases)


def _rule(report: Report, environment: str, rule: str, found: Iterable[Finding]) -> str:
    found = list(found)
    failing = [
        finding for finding in found if report.fails(finding) or environment in report.broken
    ]
    others = [finding for finding in found if finding not in failing]
    inner = ""
    if failing:
        message = attribute(failing[0].message)
        inner += f"<failure message={message}>{_lines(report, failing)}</failure>"
    if others:
        inner += f"<system-out>{_lines(report, others)}</system-out>"
    file = line = None
    if found:
        file, line, _ = place(report, found[0])
    return case(environment, rule, inner, file=file, line=line)


def _lines(report: Report, findings: Iterable[Finding]) -> str:
    return content(
        "\n".join(
            f"{where(report, finding)}: {finding.severity}: {finding.message}"
            + (f" ({finding.hint})" if finding.hint else "")
            for finding in findings
        )
    )


def document(suites: Iterable[str]) -> str:
    """Return the file of these suites."""
    body = "\n".join(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n{body}\n</testsuites>\n'


def suite(name: str, cases: list[str]) -> str:
    """Return a suite of these cases, with the counts that its readers want."""
    counts = {
        "tests": len(cases),
        "failures": sum("<failure " in case for case in cases),
        "errors": sum("<error " in case for case in cases),
        "skipped": sum("<skipped" in case for case in cases),
    }
    head = " ".join(f'{what}="{number}"' for what, number in counts.items())
    body = "\n".join(cases)
    return f"  <testsuite name={attribute(name)} {head}>\n{body}\n  </testsuite>"


def case(suite: str, name: str, inner: str, **attributes: object) -> str:
    """Return a test. ``inner`` is XML, the rest text."""
    said = {"classname": suite, "name": name, **attributes}
    text = " ".join(f"{key}={attribute(str(value))}" for key, value in said.items() if value)
    return f"    <testcase {text}>{inner}</testcase>"


def content(text: str) -> str:
    """Return a text as the content of an element."""
    return escape(_FORBIDDEN.sub("�", text))


def attribute(text: str) -> str:
    """Return a text as the value of an attribute, with its quotes."""
    return quoteattr(_FORBIDDEN.sub("�", text))
