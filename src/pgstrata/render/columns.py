"""Rows of text in aligned columns."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import zip_longest


def columns(
    rows: Sequence[Sequence[str]], *, header: Sequence[str] = (), widest: Sequence[int] = ()
) -> str:
    """Return the rows, two spaces between columns.

    ``widest`` limits the width of the first columns, in terminal cells: a longer text is not cut,
    but runs over and moves what follows in its own row only.
    """
    table = [header, *rows] if header else list(rows)
    needed = [max(map(width, cells)) for cells in zip(*table, strict=True)]
    limits = zip_longest(needed, widest[: len(needed)])
    widths = [need if limit is None else min(need, limit) for need, limit in limits]
    return "\n".join(_line(row, widths) for row in table)


def width(text: str) -> int:
    """Return how many cells of a terminal a text takes: two for each wide character (UAX #11)."""
    return sum(_cells(character) for character in text)


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    line, start = row[0], 0
    for cell, before in zip(row[1:], widths, strict=False):
        start += before + 2
        line += " " * max(start - width(line), 2) + cell
    return line.rstrip()
