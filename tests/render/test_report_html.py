"""The HTML report is opened in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests import browser

from pgstrata.check.report import Report
from pgstrata.model import Finding, Origin
from pgstrata.render import report_html

HOSTILE = "<script>document.title = 'owned'</script> \"' " + "long" * 60


@pytest.fixture
def page(tmp_path: Path) -> Iterator[browser.Page]:
    """Return a report of 40 findings in a browser, 1280 pixels wide."""
    program = browser.find()
    if program is None:
        pytest.skip("there is no Chromium on this machine")
    origin = Origin("overlay", "environments/one.yaml", 3, 7)
    first = Finding("policy", HOSTILE, origin, "error", "one", hint=HOSTILE, excerpt=HOSTILE)
    others = [replace(first, rule="same-target", message=f"number {n}") for n in range(39)]
    findings = (first, *others)
    report = Report(Path(), ("one",), frozenset(), frozenset(), findings, unknown=("the moon",))
    path = tmp_path / "report.html"
    path.write_text(report_html.render(report), encoding="utf-8")
    with browser.page(program, tmp_path / "profile") as shown:
        shown.open(path, width=1280)
        yield shown


def test_it_asks_for_nothing_runs_nothing_and_fits(page: browser.Page) -> None:
    """No request but for the file itself, no foreign script, no scrolling sideways."""
    assert [address for address in page.requests if not address.endswith("/report.html")] == []
    assert page.errors == []
    assert page.value("document.title") == "pgstrata check"
    assert page.value("document.documentElement.scrollWidth <= window.innerWidth")


def test_the_keyboard_reaches_the_filter_which_works(page: browser.Page) -> None:
    """Tab, type: only rows with all the words stay, and their number is said."""
    page.press("Tab")
    assert page.value("document.activeElement.id") == "filter"
    page.type("NUMBER same-target 38")
    shown = "[...document.querySelectorAll('#findings tr')].filter((row) => !row.hidden).length"
    assert page.value(shown) == 1
    assert page.value("document.getElementById('shown').textContent") == "1 of 40"
