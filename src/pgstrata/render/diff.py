"""A comparison of environments as text for a terminal, and as JSON.

A secret is shown by what it equals, never by its value. In JSON, ``fingerprint`` serves to compare
the secrets of one output with each other; two runs have none in common.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pgstrata.diff import STATUSES, Cell, Comparison, Row, Status
from pgstrata.render.columns import columns, width
from pgstrata.render.settings import UNSET, value_json, value_text

INDENT = 2
# ANSI: bold yellow, bold red, bold magenta.
_COLOURS: dict[Status, str] = {
    "changed": "\x1b[1;33m",
    "missing": "\x1b[1;31m",
    "unknown": "\x1b[1;35m",
    "same": "",
}
_PLAIN = "\x1b[0m"


def text(shown: Comparison, *, space: int, colour: bool = False) -> str:
    """Return the rows of a comparison, as many environments side by side as fit into ``space``
    cells of a terminal.

    The environments that do not fit stand below, in a matrix of their own. A value is never cut;
    one that is wider than the terminal runs over.
    """
    blocks = [_matrix(shown, group, colour=colour) for group in _groups(shown, space)]
    return "\n\n".join([*blocks, *filter(None, ["\n".join(notes(shown))])]) if shown.rows else ""


def _groups(shown: Comparison, space: int) -> Iterator[list[int]]:
    """Yield the places of the environments that fit side by side."""
    group: list[int] = []
    taken = 0
    for place, name in enumerate(shown.environments):
        texts = [name, *(line for row in shown.rows for line in lines(shown, row, place))]
        needed = max(map(width, texts)) + INDENT
        if group and taken + needed > space:
            yield group
            group, taken = [], 0
        group.append(place)
        taken += needed
    if group:
        yield group


def _matrix(shown: Comparison, group: Sequence[int], *, colour: bool) -> str:
    """Return the matrix of some environments; each key is a heading above its values."""
    table = [[shown.environments[place] for place in group]]
    for row in shown.rows:
        cells = [lines(shown, row, place) for place in group]
        table += [list(line) for line in zip(*cells, strict=True)]
    first, *rest = (" " * INDENT + line for line in columns(table).split("\n"))
    pairs = zip(rest[::2], rest[1::2], strict=True)
    blocks = [
        f"{_heading(row, colour=colour)}\n{value}\n{place.rstrip()}".rstrip()
        for row, (value, place) in zip(shown.rows, pairs, strict=True)
    ]
    return "\n".join([first, *blocks])


def _heading(row: Row, *, colour: bool) -> str:
    start, end = (_COLOURS[row.status], _PLAIN) if colour and _COLOURS[row.status] else ("", "")
    expected = " (expected)" if row.expected and row.status != "same" else ""
    return f"{start}{row.status}{end}  {row.key}{expected}"


def lines(shown: Comparison, row: Row, place: int) -> tuple[str, str]:
    """Return what a cell shows: its value, and where it comes from."""
    cell = row.cells[place]
    return cell_text(shown, row, place), str(cell.origin) if cell.origin else ""


def cell_text(shown: Comparison, row: Row, place: int) -> str:
    """Return the value of a cell; for a secret, which environment has the same one."""
    cell, group = row.cells[place], row.groups[place]
    if cell.unknown:
        return "unknown"
    if cell.missing:
        return UNSET if cell.origin else "-"
    if not row.secret:
        return value_text(cell.value)
    if max(row.groups) == 1:
        return "same" if row.groups.count(1) > 1 else "set"
    first = row.groups.index(group)
    return "differs" if first == place else f"same as {shown.environments[first]}"


def notes(shown: Comparison) -> list[str]:
    """Return why values are unknown, a line for each key and reason."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in shown.rows:
        for name, cell in zip(shown.environments, row.cells, strict=True):
            if cell.unknown:
                found.setdefault((row.key, cell.unknown), []).append(name)
    return [
        f"unknown: {key} in {', '.join(names)}: {value_text(why)}"
        for (key, why), names in found.items()
    ]


def summary(everything: Comparison) -> str:
    """Return the number of keys of each status, in one line."""
    counts = everything.summary
    said = ", ".join(f"{counts[status]} {status}" for status in STATUSES)
    folded = f"; expected differences: {counts['expected']}" if counts["expected"] else ""
    return f"{said}{folded}"


def as_json(everything: Comparison, shown: Comparison) -> dict[str, object]:
    """Return the JSON shape: environments, a summary of everything, and the shown keys."""
    return {
        "environments": list(shown.environments),
        "summary": everything.summary,
        "keys": [_row_json(shown.environments, row) for row in shown.rows],
    }


def _row_json(environments: Sequence[str], row: Row) -> dict[str, object]:
    cells = zip(environments, row.cells, strict=True)
    return {
        "key": row.key,
        "status": row.status,
        "secret": row.secret,
        "expected": row.expected,
        # An environment that says nothing about the key is left out.
        "values": {
            name: cell_json(cell) for name, cell in cells if cell.origin or not cell.missing
        },
    }


def cell_json(cell: Cell) -> dict[str, object]:
    """Return the JSON shape of a cell: value, fingerprint or unknown; and the origin."""
    origin = cell.origin.as_json() if cell.origin else None
    if cell.unknown:
        return {"unknown": cell.unknown, "origin": origin}
    if cell.fingerprint:
        return {"fingerprint": cell.fingerprint, "origin": origin}
    return {"value": value_json(cell.value), "origin": origin}
