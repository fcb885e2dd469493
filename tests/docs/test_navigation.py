"""The menu of the site is made of what is there."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def hook() -> ModuleType:
    """Return the module as MkDocs loads it: by its path."""
    spec = spec_from_file_location("navigation", DOCS / "navigation.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pages(entries: list[Any]) -> list[str]:
    """Return the pages of a navigation, from all its levels."""
    found: list[str] = []
    for entry in entries:
        if isinstance(entry, str):
            found.append(entry)
        else:
            found += [page for inner in entry.values() for page in pages(inner)]
    return found


def test_every_page_is_in_the_menu_once() -> None:
    """Also one that was written just now."""
    there = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
    assert sorted(pages(hook().navigation(DOCS))) == there


def test_the_four_kinds_stand_in_the_order_of_a_reader() -> None:
    """To learn, to do, to look up, to understand; none is empty."""
    sections = [entry for entry in hook().navigation(DOCS) if isinstance(entry, dict)]
    assert [title for entry in sections for title in entry] == [
        "Tutorial",
        "How to",
        "Reference",
        "Explanation",
    ]
    assert all(entry[title] for entry in sections for title in entry)
