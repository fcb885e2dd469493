"""The pages about the recipes show what the examples are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.docs.test_examples import BLOCK, ROOT

EXAMPLES = ROOT / "examples"
RECIPES = sorted(
    path for path in EXAMPLES.iterdir() if path.is_dir() and path.name != "environments"
)
FILES = [
    path.read_text(encoding="utf-8")
    for path in EXAMPLES.rglob("*")
    if path.suffix in (".py", ".yaml", ".yml", ".ini")
]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: str(path.name))
def test_what_a_page_shows_is_in_the_example(recipe: Path) -> None:
    """Every block of code is a part of a file; and every recipe has its page."""
    page = (ROOT / "docs" / "how-to" / f"{recipe.name}.md").read_text(encoding="utf-8")
    for match in BLOCK.finditer(page):
        assert match[1] == "sh" or any(match[2] in text for text in FILES), match[0]
    assert re.search(rf"examples/{recipe.name}[)/]", page)
