"""The HTML page is opened in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import browser
from tests.layers.project import write

from pgstrata.diff import Comparison, compare
from pgstrata.layers.folder import on_disk
from pgstrata.loading import load_shared
from pgstrata.render.diff_html import html

BASE = """\
connection_settings: {host: db, dbname: app, user: app, sslmode: require}
session_settings: {statement_timeout: 30s, application_name: "</script><b>bold&</b>"}
pool_settings: {min_size: 1, max_size: 4}
expected_differences: [connection_settings.host]
"""
NAMES = ("development", "production", "qa", "staging")
VISIBLE = "[...document.querySelectorAll('tbody tr')].filter((row) => !row.hidden)"
KEYS = f"{VISIBLE}.map((row) => row.cells[0].textContent)"
DEFAULT = ["connection_settings.sslmode", "session_settings.statement_timeout"]


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Return four environments that differ in three keys, one of them as expected."""
    overlays = {name: f"connection_settings: {{host: {name}.example.com}}\n" for name in NAMES}
    overlays["production"] += "session_settings: {statement_timeout: 5min}\n"
    overlays["qa"] = "connection_settings: {host: qa.example.com, sslmode: null}\n"
    folder = on_disk(write(tmp_path_factory.mktemp("html"), BASE, **overlays))
    return compare(load_shared(folder.environments, folder))  # type: ignore[arg-type]  # all of them load


@pytest.fixture(scope="module")
def text(comparison: Comparison) -> str:
    """Return the page."""
    return html(comparison, ("changed", "missing", "unknown"), expected=False)


@pytest.fixture
def page(text: str, tmp_path: Path) -> Iterator[browser.Page]:
    """Return the page in a browser, 1280 pixels wide."""
    program = browser.find()
    if program is None:
        pytest.skip("no Chromium on this machine")
    path = tmp_path / "diff.html"
    path.write_text(text, encoding="utf-8")
    with browser.page(program, tmp_path / "profile") as shown:
        shown.open(path, width=1280)
        yield shown


def test_it_is_one_file(text: str) -> None:
    """Nothing in it names another file, and its own policy forbids every request."""
    assert not re.findall(r"(?:\bsrc=|\bhref=|@import|url\()", text)
    assert "default-src 'none'" in text


def test_values_are_text(text: str) -> None:
    """A value that looks like a tag is shown, and is no tag."""
    assert "<b>" not in text
    assert "&lt;/script&gt;&lt;b&gt;bold&amp;&lt;/b&gt;" in text


def test_it_asks_for_nothing_and_fits(page: browser.Page) -> None:
    """The page makes no request but for itself, has no errors, and four environments fit."""
    assert [address.rpartition("/")[2] for address in page.requests] == ["diff.html"]
    assert page.errors == []
    assert page.value("document.documentElement.scrollWidth") <= 1280
    assert page.value("(m => m.scrollWidth - m.clientWidth)(document.getElementById('matrix'))") < 1
    sizes = "[...document.querySelectorAll('td code')].map((c) => c.getBoundingClientRect().height)"
    assert min(filter(None, page.value(sizes))) >= 12
    assert len(page.screenshot()) > 10_000


def test_the_filter_works(page: browser.Page) -> None:
    """Words narrow the rows down by key and value; the boxes show other statuses."""
    assert page.value(KEYS) == DEFAULT
    page.type("5MIN statement")
    assert page.value(KEYS) == ["session_settings.statement_timeout"]
    assert page.value("document.getElementById('count').textContent").startswith("1 of ")
    page.value("document.getElementById('words').value = ''")
    for kind in ("expected", "missing"):
        page.value(f"document.querySelector('[value={kind}]').click()")
    assert page.value(KEYS) == ["connection_settings.host", "session_settings.statement_timeout"]


def test_the_keyboard_reaches_everything(page: browser.Page) -> None:
    """The tab key goes from the filter to each box and the matrix, and space ticks a box."""
    name = "document.activeElement.value || document.activeElement.id"
    reached = [page.value(name)]
    for _ in range(6):
        page.press("Tab")
        reached.append(page.value(name))
        if reached[-1] == "same":
            page.press(" ", " ")
    assert reached == ["words", "changed", "missing", "unknown", "same", "expected", "matrix"]
    assert "pool_settings.max_size" in page.value(KEYS)
