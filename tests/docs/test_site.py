"""The built site, looked at in a real browser."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from tests import browser

ROOT = Path(__file__).parents[2]
PHONE, DESK = 390, 1280
# Links that MkDocs itself checks are those of Markdown; here are those of the pages as they are.
SEARCH = "document.querySelectorAll('.md-search-result__item').length"
FIRST_RESULT = f"""new Promise((found) => {{
  const end = Date.now() + 60_000;
  const look = () => {SEARCH} || Date.now() > end ? found({SEARCH}) : setTimeout(look, 50);
  look() }})"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser.find() is None, reason="there is no Chromium on this machine"),
]


class Anchors(HTMLParser):
    """The links of a page, and the places in it that a link can name."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag links to and what it is called."""
        named = {name: value for name, value in attrs if value}
        self.ids |= {named["id"]} if "id" in named else set()
        self.links += [named[name] for name in ("href", "src") if name in named and tag != "base"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the site, built strictly: a warning is an error."""
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    folder = tmp_path_factory.mktemp("built") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    done = subprocess.run(
        [*command, "--site-dir", str(folder)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def page(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Page]:
    """Return a browser."""
    program = browser.find()
    assert program
    with browser.page(program, tmp_path_factory.mktemp("profile")) as shown:
        yield shown


def test_no_link_is_broken(site: Path) -> None:
    """Each link, picture, script and style leads to a file of the site, and to a place in it."""
    pages = {path: anchors(path) for path in pages_of(site)}
    broken = []
    for path, found in pages.items():
        for link in found.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or link.startswith("data:"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            there = target.exists() if not target.is_dir() else False
            named = pages[target].ids if target in pages else set()
            if not there or (parts.fragment and unquote(parts.fragment) not in named):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert broken == []


def pages_of(site: Path) -> list[Path]:
    """Return all pages but the one for a web server that lacks a page: its links begin at `/`."""
    return sorted(path for path in site.rglob("*.html") if path.name != "404.html")


def anchors(path: Path) -> Anchors:
    """Read one page."""
    found = Anchors()
    found.feed(path.read_text(encoding="utf-8"))
    return found


@pytest.mark.timeout(900)  # a hundred pages, on a machine that may be busy
def test_every_page_fits_a_phone_and_asks_nobody(site: Path, page: browser.Page) -> None:
    """No scrolling sideways, no request off the site, no error of a script."""
    wide = []
    for path in pages_of(site):
        page.open(path, width=PHONE)
        if not page.value("document.documentElement.scrollWidth <= window.innerWidth"):
            wide.append(path.name)
    assert wide == []
    assert [each for each in page.requests if not re.match(r"file:|data:|blob:", each)] == []
    assert page.errors == []


def test_search_works_from_the_disk(site: Path, page: browser.Page) -> None:
    """What is typed is found, without a server."""
    page.open(site / "index.html", width=DESK)
    page.value("document.querySelector('[data-md-component=search-query]').focus()")
    page.type("statement_timeout")
    assert page.value(FIRST_RESULT) > 0
    assert [each for each in page.requests if not re.match(r"file:|data:|blob:", each)] == []
