"""The blast radius of a change: what the effective settings of each environment gain, lose or
change between two trees of files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pgstrata.diff import Cell, Row, compare
from pgstrata.errors import ConfigError
from pgstrata.model import Config, Secret

Effect: TypeAlias = Literal["gained", "lost", "changed", "unknown"]
EFFECTS: tuple[Effect, ...] = ("changed", "gained", "lost", "unknown")
State: TypeAlias = Literal["affected", "unaffected", "new", "removed", "broken", "mended"]

BEFORE, AFTER = "before", "after"


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """What happens to one key of one environment."""

    key: str
    effect: Effect
    secret: bool
    before: Cell
    after: Cell


@dataclass(frozen=True, slots=True, eq=False)
class Impact:
    """What a change does to one environment.

    ``broken`` cannot be loaded any more, ``mended`` could not be loaded before; ``problem`` is
    then the error. ``uncompared`` are the keys whose values are unknown on both sides, where at
    least the reference to the value stays as it was.
    """

    environment: str
    protected: bool
    state: State
    changes: tuple[Change, ...] = ()
    uncompared: tuple[Change, ...] = ()
    problem: ConfigError | None = None

    @property
    def summary(self) -> dict[Effect, int]:
        """The number of keys of each effect."""
        counts = Counter(change.effect for change in self.changes)
        return {effect: counts[effect] for effect in EFFECTS}


def impacts(
    before: Mapping[str, Config | ConfigError], after: Mapping[str, Config | ConfigError]
) -> list[Impact]:
    """Return what a change does to each environment of either tree, in the order of their names."""
    names = sorted({*before, *after})
    return [_impact(name, before.get(name), after.get(name)) for name in names]


def _impact(
    name: str, before: Config | ConfigError | None, after: Config | ConfigError | None
) -> Impact:
    protected = any(_is_protected(side) for side in (before, after))
    if isinstance(after, ConfigError):
        return Impact(name, protected, "broken", problem=after)
    if isinstance(before, ConfigError):
        return Impact(name, protected, "mended" if after else "removed", problem=before)
    found = list(_changes(before, after))
    uncompared = tuple(change for change in found if _same_reference(change))
    changes = tuple(change for change in found if not _same_reference(change))
    return Impact(name, protected, _state(before, after, changes), changes, uncompared)


def _is_protected(side: Config | ConfigError | None) -> bool:
    return isinstance(side, Config) and side.get("protected") is True


def _state(before: Config | None, after: Config | None, changes: Iterable[Change]) -> State:
    if before is None:
        return "new"
    if after is None:
        return "removed"
    return "affected" if changes else "unaffected"


def _changes(before: Config | None, after: Config | None) -> Iterator[Change]:
    there = {BEFORE: before, AFTER: after}
    comparison = compare({label: config for label, config in there.items() if config is not None})
    for row in comparison.rows:
        cells = dict(zip(comparison.environments, row.cells, strict=True))
        old, new = cells.get(BEFORE, Cell()), cells.get(AFTER, Cell())
        if effect := _effect(row, old, new):
            yield Change(row.key, effect, row.secret, old, new)


def _effect(row: Row, before: Cell, after: Cell) -> Effect | None:
    if before.missing:
        return "gained"
    if after.missing:
        return "lost"
    if row.status == "unknown":
        return "unknown"
    return "changed" if row.status == "changed" else None


def _same_reference(change: Change) -> bool:
    """Whether both values are unknown, and what they refer to is the same."""
    before, after = change.before, change.after
    if not before.unknown or before.unknown != after.unknown:
        return False
    sources = [cell.value.source for cell in (before, after) if isinstance(cell.value, Secret)]
    return len(sources) != 1 and len(set(sources)) <= 1
