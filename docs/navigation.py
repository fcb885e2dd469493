"""The navigation of the site, made of what is in the folders: a new page cannot be forgotten.

MkDocs runs ``on_config`` and ``on_page_markdown`` as hooks: https://www.mkdocs.org/user-guide/configuration/#hooks
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

# https://diataxis.fr: to learn, to do a job, to look something up, to understand.
FOLDERS = {
    "tutorial": "Tutorial",
    "how-to": "How to",
    "reference": "Reference",
    "explanation": "Explanation",
}
# A file of the repository that is no page of the site.
_OUTSIDE = re.compile(r"\[[^\]]+\]\((?:\.\./){2}(?P<file>[^)#]+)\)")


def on_config(config: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Give MkDocs the navigation; a folder or page of another kind fails the strict build."""
    config["nav"] = navigation(Path(config["docs_dir"]))
    return config


def on_page_markdown(markdown: str, **_: object) -> str:
    """Name the files of the repository where a page leads to them: the site has them not."""
    return _OUTSIDE.sub(r"`\g<file>`", markdown)


def navigation(docs: Path) -> list[Any]:
    """Return the start page, the four folders with their pages by title, and what else there is."""
    sections: list[Any] = ["index.md"]
    for folder, title in FOLDERS.items():
        inner = sorted(path for path in (docs / folder).iterdir() if any(path.glob("*.md")))
        groups = [{path.name.capitalize(): _pages(docs, path)} for path in inner]
        sections.append({title: [*_pages(docs, docs / folder), *groups]})
    others = sorted(page.name for page in docs.glob("*.md") if page.name != "index.md")
    return sections + others


def _pages(docs: Path, folder: Path) -> list[str]:
    pages = sorted(folder.glob("*.md"), key=_title)
    return [page.relative_to(docs).as_posix() for page in pages]


def _title(page: Path) -> str:
    return page.read_text(encoding="utf-8").partition("\n")[0].lower()
