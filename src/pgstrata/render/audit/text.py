"""An audit as people read it in a terminal: a matrix, then what is wrong and how to mend it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from pgstrata.audit.model import Fix, Result, Snapshot
from pgstrata.audit.report import Report
from pgstrata.render.audit.groups import (
    WORDS,
    Group,
    gaps,
    grants,
    grid,
    groups,
    place_of,
    places,
    summary,
    version,
    wanted_by,
)
from pgstrata.render.audit.manual import command
from pgstrata.render.columns import columns, width
from pgstrata.render.printable import printable, printable_lines

Column: TypeAlias = tuple[list[str], list[str]]  # what stands above it, and its cells

_WIDEST = 24  # of a cell: what does not fit stands in full below the matrix
# ANSI: bold red, bold yellow.
_COLOURS = {"FAIL": "\x1b[1;31m", "WARN": "\x1b[1;33m"}
_PLAIN = "\x1b[0m"


def render(report: Report, *, colour: bool = False, terminal: int = 100) -> str:
    """Return the matrix of endpoints and checks, the findings, what could not be checked, and the
    summary. ``terminal`` is how many characters are in a line of it.
    """
    parts = [
        *_matrices(report, terminal),
        *_findings(groups(report, "fail", "warn", "info")),
        *_unseen(report),
        *_waived(report),
        *_unaudited(report),
        summary(report),
    ]
    shown = [printable_lines(part) for part in parts if part]
    return "\n\n".join(map(_coloured, shown) if colour else shown) + "\n"


def _coloured(part: str) -> str:
    """Return a part with the word in colour that begins it, if it is a finding."""
    word = part.partition(" ")[0]
    return f"{_COLOURS[word]}{word}{_PLAIN}{part[len(word) :]}" if word in _COLOURS else part


def _matrices(report: Report, terminal: int) -> Iterator[str]:
    """Yield a table for as many endpoints at a time as fit, and the checks that are ok in all.

    An endpoint that could not be audited would be a column of nothing.
    """
    named = zip(places(report), report.snapshots, strict=True)
    seen = {place_of(one): (name, one) for name, one in named if not one.error}
    cells = grid(report)
    statuses: dict[str, set[str]] = {}
    for (check, place), results in cells.items():
        if place in seen:
            statuses.setdefault(check, set()).update(result.status for result in results)
    ids = [check.id for check in report.checks]
    rows = [name for name in ids if statuses.get(name, {"ok"}) != {"ok"}]
    if rows:
        table = [
            (_head(name, one), [_cell(cells.get((row, place), [])) for row in rows])
            for place, (name, one) in seen.items()
        ]
        for group in _fitting(table, max(terminal - max(map(len, rows)), _WIDEST)):
            yield _table(rows, group)
    if fine := [name for name in ids if statuses.get(name) == {"ok"}]:
        yield _wrapped(f"ok everywhere: {', '.join(fine)}", terminal)


def _head(name: str, one: Snapshot) -> list[str]:
    return [name, version(one), f"as {printable(one.viewer)}"]


def _fitting(table: Iterable[Column], room: int) -> Iterator[list[Column]]:
    """Yield columns, as many at a time as there is room for."""
    group: list[Column] = []
    used = 0
    for head, cells in table:
        need = 2 + max(map(width, (*head, *cells)))
        if group and used + need > room:
            yield group
            group, used = [], 0
        group.append((head, cells))
        used += need
    if group:
        yield group


def _table(rows: Sequence[str], group: Sequence[Column]) -> str:
    lines = [["", *head] for head in zip(*(head for head, _ in group), strict=True)]
    for number, name in enumerate(rows):
        lines.append([name, *(cells[number] for _, cells in group)])
    return columns(lines)


def _cell(found: Sequence[Result]) -> str:
    if not found:
        return "-"
    more = f" +{len(found) - 1}" if len(found) > 1 else ""
    text = f"{WORDS[found[0].status]} {' '.join(found[0].outcome.observed.split())}".strip()
    return (text if width(text) <= _WIDEST else text[: _WIDEST - 1] + "…") + more


def _findings(found: Iterable[Group]) -> Iterator[str]:
    """Yield each finding; why it matters is said with the first one of a check."""
    said: set[str] = set()
    for group in found:
        yield _finding(group, "" if group.check.id in said else group.check.why)
        said.add(group.check.id)


def _finding(group: Group, why: str) -> str:
    result, check = group.result, group.check
    outcome, word = result.outcome, WORDS[result.status]
    known = " (in the baseline)" if group.known else ""
    what = f" {outcome.object}" if outcome.object else ""
    lines = [f"{word} {check.id}{what}: {group.where}{known}", f"  {outcome.message}"]
    if outcome.observed or outcome.expected:
        lines.append(f"  observed {outcome.observed or '-'}, expected {outcome.expected or '-'}")
    lines += [f"  {line}" for line in outcome.evidence]
    lines += [f"  wanted by {wanted_by(result)}"] if outcome.key else []
    lines += [f"  why: {why}"] if why else []
    lines = list(map(printable, lines))  # a line end in a value starts no line of ours
    lines += [f"  {line}" for fix in outcome.fix for line in _fix(fix)]
    lines.append(f"  more: {command(check.id)}")
    return "\n".join(lines)


def _fix(fix: Fix) -> Iterator[str]:
    yield f"fix ({fix.applies}): {_below(fix.statement)}"
    if fix.verify:
        yield f"verify: {_below(fix.verify)}"


def _below(statement: str) -> str:
    """Return a statement whose further lines are indented."""
    return statement.replace("\n", "\n    ")


def _unseen(report: Report) -> Iterator[str]:
    found = list(gaps(report))
    if not found:
        return
    number = sum(len(ids) for *_, ids in found)
    lines = [f"Could not check ({number}):"]
    lines += [
        f"  {', '.join(ids)}: {printable(where)}\n    {printable(why)}" for why, where, ids in found
    ]
    yield "\n".join(lines)
    if statements := grants(report.shown):
        yield "\n".join(
            (
                "To see more, a superuser runs in that database:",
                *_indented(map(printable, statements)),
            )
        )


def _waived(report: Report) -> Iterator[str]:
    found = groups(report, "waived")
    if found:
        lines = [
            f"{group.check.id}: {printable(group.where)}"
            f"\n    {printable(group.result.outcome.message)}\n    {printable(group.result.waived)}"
            for group in found
        ]
        yield "\n".join((f"Waived ({len(found)}):", *_indented(lines)))


def _unaudited(report: Report) -> Iterator[str]:
    if report.unaudited:
        lines = [printable(f"{where}: {why}") for where, why in report.unaudited.items()]
        yield "\n".join((f"Not audited ({len(lines)}):", *_indented(lines)))


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _wrapped(text: str, terminal: int) -> str:
    return textwrap.fill(text, terminal, subsequent_indent="  ", break_long_words=False)
