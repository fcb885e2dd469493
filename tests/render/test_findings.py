from __future__ import annotations

import re

import pytest

from pgstrata.model import Finding, Origin
from pgstrata.render.columns import width
from pgstrata.render.findings import counts, text

PLACE = Origin("overlay", "environments/one.yaml", 12, 3)


def _finding(**over: object) -> Finding:
    return Finding(**{"rule": "unknown-key", "message": "no such key", "origin": PLACE, **over})  # type: ignore[arg-type]  # the fields by their names


def test_a_finding_is_drawn() -> None:
    """Place, severity, rule and message; the line with its number; the caret; the hint."""
    finding = _finding(excerpt="  hots: x", hint="did you mean 'host'?")
    assert text([finding]).splitlines() == [
        "environments/one.yaml:12:3: error[unknown-key] no such key",
        "  12 |   hots: x",
        "     |   ^",
        "  hint: did you mean 'host'?",
    ]


def test_a_finding_without_a_line() -> None:
    """What comes from a variable has a name instead of a place."""
    finding = _finding(origin=Origin("environment", "PGSTRATA_X__Y"), severity="warning")
    assert text([finding]) == "env PGSTRATA_X__Y: warning[unknown-key] no such key"


@pytest.mark.parametrize(
    ("excerpt", "column"),
    [("\thots: x", 2), ("a:\thots", 4), ("{数据: 1, hots: 2}", 10), ("e\u0301: 1", 4), ("x", 99)],
)
def test_the_caret_stands_under_its_column(excerpt: str, column: int) -> None:
    """Under tabs and wide characters too, and never beyond the line's end."""
    finding = _finding(excerpt=excerpt, origin=Origin("overlay", "f.yaml", 1, column))
    source, caret = text([finding]).splitlines()[1:]
    before = source[: len("  1 | ") + column - 1]
    assert caret.endswith("^")
    assert width(caret.expandtabs(8)[:-1]) == width(_expanded(before))


def _expanded(line: str) -> str:
    """Return a line as a terminal shows it, with a tab stop at each eighth cell."""
    shown = ""
    for character in line:
        shown += " " * (8 - width(shown) % 8) if character == "\t" else character
    return shown


def test_colour_adds_nothing_but_colour() -> None:
    """Without the escapes the text is the plain one; without the flag there are none."""
    findings = [_finding(excerpt="  hots: x"), _finding(severity="warning", hint="so")]
    plain, coloured = text(findings), text(findings, colour=True)
    assert "\x1b" not in plain
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain
    assert "\x1b[1;31merror[unknown-key]\x1b[0m" in coloured
    assert "\x1b[1;33mwarning[unknown-key]\x1b[0m" in coloured


@pytest.mark.parametrize(
    ("severities", "said"),
    [
        ((), "no findings"),
        (("error",), "1 error"),
        (("warning", "error", "error"), "2 errors, 1 warning"),
        (("info",), "1 info"),
    ],
)
def test_counts(severities: tuple[str, ...], said: str) -> None:
    """Errors first, and none of what is not there."""
    assert counts([_finding(severity=severity) for severity in severities]) == said
