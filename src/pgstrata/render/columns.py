"""Rows of text in aligned columns."""

from __future__ import annotations

from collections.abc import Sequence


def columns(rows: Sequence[Sequence[str]], *, header: Sequence[str] = ()) -> str:
    """Return the rows, two spaces between columns; the last column is as wide as it likes."""
    table = [header, *rows] if header else list(rows)
    widths = [max(map(len, cells)) for cells in zip(*table, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    )
