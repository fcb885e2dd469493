"""Pieces of GitHub-flavoured Markdown that hold any text without being broken by it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

_ACTIVE = re.compile(r"([\\`*_{}\[\]()#+!|~@-])")


def code(text: str) -> str:
    """Return a text as inline code that may stand in a table; nothing for no text."""
    if not text:
        return ""
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    escaped = text.replace("|", "\\|")  # a table's cells end even inside code
    return f"{fence}{space}{escaped}{space}{fence}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are Markdown already."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plain(text: str) -> str:
    """Return a text in one line of which nothing is active: no markup, link or mention."""
    return _ACTIVE.sub(r"\\\1", html.escape(" ".join(text.split()), quote=False))
