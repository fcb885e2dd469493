"""A comparison of environments in Markdown."""

from __future__ import annotations

from pgstrata.diff import Comparison, Row
from pgstrata.render.diff import lines, notes, summary
from pgstrata.render.markdown import code, table

SIDE_BY_SIDE = 4  # environments in one table; GitHub shows this many without scrolling


def markdown(everything: Comparison, shown: Comparison) -> str:
    """Return the shown rows as tables of some environments each, and the summary of everything."""
    tables = []
    for start in range(0, len(shown.environments) if shown.rows else 0, SIDE_BY_SIDE):
        places = range(start, min(start + SIDE_BY_SIDE, len(shown.environments)))
        tables.append(_table(shown, places))
    return "\n\n".join(
        [*tables, *(f"<sub>{code(note)}</sub>" for note in notes(shown)), summary(everything)]
    )


def _table(shown: Comparison, group: range) -> str:
    header = ["key", "", *(code(shown.environments[place]) for place in group)]
    return table(header, (_row(shown, row, group) for row in shown.rows))


def _row(shown: Comparison, row: Row, group: range) -> list[str]:
    cells = (lines(shown, row, place) for place in group)
    said = [
        f"{code(value)}<br><sub>{code(place)}</sub>" if place else value for value, place in cells
    ]
    return [code(row.key), row.status, *said]
