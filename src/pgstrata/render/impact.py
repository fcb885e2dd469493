"""What a change does to each environment, as text, JSON, and Markdown for a pull request.

Environments that a change does the same to are told about together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from pgstrata.diff import Cell
from pgstrata.impact import EFFECTS, Change, Impact
from pgstrata.render.diff import cell_json
from pgstrata.render.markdown import code, table
from pgstrata.render.settings import UNSET, value_text

Group: TypeAlias = Sequence[Impact]

_STATES = {
    "new": "new environment",
    "removed": "environment removed",
    "broken": "cannot be loaded any more",
    "mended": "can be loaded again",
    "unaffected": "nothing changes",
}


def text(impacts: Sequence[Impact]) -> str:
    """Return a line for each group of environments, its changes below it."""
    blocks = []
    for group in _groups(impacts):
        lines = [f"{_names(group)}: {_effects(group[0])}"]
        if group[0].state == "affected":
            for change in group[0].changes:
                before, after = _sides(change)
                lines += [f"  {change.effect}  {change.key}", f"       {before}", f"    -> {after}"]
        blocks.append("\n".join(lines))
    return "\n".join([*blocks, *uncompared(impacts)])


def markdown(impacts: Sequence[Impact], before: str) -> str:
    """Return a comment for a pull request: a table of environments, and the changes of each."""
    groups = _groups(impacts)
    touched = sum(impact.state != "unaffected" for impact in impacts)
    rows = [[_names(group, mark=code), _effects(group[0])] for group in groups]
    details = [_details(group) for group in groups if group[0].state == "affected"]
    parts = [
        "### Effective settings that this change touches",
        f"Compared with {code(before)}: {touched} of {len(impacts)} environments.",
        table(["environments", "effect"], rows) if rows else "",
        *details,
        *(f"<sub>{line}</sub>" for line in uncompared(impacts, mark=code)),
    ]
    return "\n\n".join(part for part in parts if part)


def _details(group: Group) -> str:
    rows = [
        [code(c.key), c.effect, *(_cell_markdown(c, cell) for cell in (c.before, c.after))]
        for c in group[0].changes
    ]
    body = table(["key", "", "before", "after"], rows)
    # GitHub reads Markdown inside the element only after an empty line.
    return f"<details><summary>{_names(group)}</summary>\n\n{body}\n\n</details>"


def _cell_markdown(change: Change, cell: Cell) -> str:
    place = f"<br><sub>{code(str(cell.origin))}</sub>" if cell.origin else ""
    return f"{code(_value(change, cell))}{place}"


def uncompared(impacts: Iterable[Impact], *, mark: Callable[[str], str] = str) -> list[str]:
    """Return a line for each value that could not be compared, with the environments it is in."""
    found: dict[tuple[str, str], list[str]] = {}
    for impact in impacts:
        for change in impact.uncompared:
            found.setdefault((change.key, change.after.unknown), []).append(impact.environment)
    return [
        f"not compared, the reference is unchanged: {mark(key)} ({mark(value_text(why))})"
        f" in {', '.join(map(mark, names))}"
        for (key, why), names in found.items()
    ]


def as_json(impacts: Iterable[Impact]) -> list[dict[str, object]]:
    """Return the JSON shape of each environment: its state, and its keys before and after."""
    return [
        {
            "name": impact.environment,
            "protected": impact.protected,
            "state": impact.state,
            "summary": impact.summary,
            "problem": str(impact.problem) if impact.problem else None,
            "keys": [_change_json(change) for change in impact.changes],
            "uncompared": [change.key for change in impact.uncompared],
        }
        for impact in impacts
    ]


def _change_json(change: Change) -> dict[str, object]:
    return {
        "key": change.key,
        "effect": change.effect,
        "secret": change.secret,
        "before": None if change.before.missing else cell_json(change.before),
        "after": None if change.after.missing else cell_json(change.after),
    }


def _groups(impacts: Iterable[Impact]) -> list[Group]:
    """Return the impacts that read the same together; the unaffected ones at the end."""
    groups: dict[tuple[object, ...], list[Impact]] = {}
    for impact in impacts:
        said = tuple((c.effect, c.key, *_sides(c)) for c in impact.changes)
        groups.setdefault((impact.state, impact.protected, str(impact.problem), said), []).append(
            impact
        )
    return sorted(groups.values(), key=lambda group: group[0].state == "unaffected")


def _names(group: Group, *, mark: Callable[[str], str] = str) -> str:
    names = ", ".join(mark(impact.environment) for impact in group)
    return f"{names} (protected)" if group[0].protected else names


def _effects(impact: Impact) -> str:
    """Return what happens to an environment, in a few words."""
    counts = impact.summary
    said = ", ".join(f"{counts[effect]} {effect}" for effect in EFFECTS if counts[effect])
    if impact.state == "affected":
        return said
    return f"{_STATES[impact.state]}{f': {said}' if said else ''}"


def _sides(change: Change) -> tuple[str, str]:
    before, after = (
        f"{_value(change, cell)}{f'    {cell.origin}' if cell.origin else ''}"
        for cell in (change.before, change.after)
    )
    return before, after


def _value(change: Change, cell: Cell) -> str:
    if cell.unknown:
        return f"unknown: {value_text(cell.unknown)}"
    if cell.missing:
        return UNSET
    if change.secret:
        return "differs" if change.effect == "changed" and cell is change.after else "set"
    return value_text(cell.value)
