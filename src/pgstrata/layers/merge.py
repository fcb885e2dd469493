"""The merge, done by dynaconf. The only place that imports it.

Dynaconf by itself casts text, evaluates ``@`` tokens, joins lists, looks for files in parent
folders, runs hook files and obeys ``*_FOR_DYNACONF`` variables. None of it is wanted here. So its
own loading is skipped altogether, its environment is empty, and it is handed each layer as maps
that end in opaque leaves, in which there is nothing to cast or evaluate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, TypeAlias

from dynaconf.base import Settings
from dynaconf.loaders.base import SourceMetadata
from dynaconf.utils import object_merge

from pgstrata.model import Layer, Leaf

Tree: TypeAlias = dict[str, Any]
Path: TypeAlias = tuple[str, ...]

# The first two keep dynaconf from loading anything: no defaults, files, includes, hooks, variables.
# The others are what it asks itself for while it sets a value.
_OPTIONS = {
    "dynaconf_skip_loaders": True,
    "dynaconf_skip_validators": True,
    "AUTO_CAST_FOR_DYNACONF": False,
    "DOTTED_LOOKUP_FOR_DYNACONF": False,
    "FRESH_VARS_FOR_DYNACONF": [],
    "INDEX_SEPARATOR_FOR_DYNACONF": "",
    "MERGE_ENABLED_FOR_DYNACONF": True,
    "NESTED_SEPARATOR_FOR_DYNACONF": "",
    "SYSENV_FALLBACK_FOR_DYNACONF": False,
    "VALIDATE_ON_UPDATE_FOR_DYNACONF": False,
}


class _Closed(Settings):  # type: ignore[misc]  # dynaconf has no annotations
    """Settings that see no process environment, where ``*_FOR_DYNACONF`` would reconfigure them."""

    @property
    def environ(self) -> Mapping[str, str]:
        return {}


def merge(layers: Sequence[Layer]) -> Tree:
    """Return the layers, weakest first, as one tree: maps are merged deeply, leaves replaced."""
    settings = _Closed(**_OPTIONS)
    for layer in layers:
        source = SourceMetadata("pgstrata", layer.source or layer.name)
        settings.update(_copy(layer.tree), loader_identifier=source, merge=True)
    # Dynaconf keeps its options among the settings; none of them is a leaf or a map.
    return {
        name.lower(): value
        for name, value in settings.as_dict().items()
        if isinstance(value, dict | Leaf)
    }


def fold(layers: Sequence[Layer]) -> Tree:
    """Return what ``merge`` returns, by dynaconf's merge function alone: for many environments at
    once.
    """
    merged: Tree = {}
    for layer in layers:
        merged = object_merge(merged, _copy(layer.tree))
    return merged


def _copy(tree: Tree) -> Tree:
    """Copy the maps and share the leaves: dynaconf's merge changes the maps that it is given."""
    return {
        name: _copy(value) if isinstance(value, dict) else value for name, value in tree.items()
    }


def stacks(layers: Sequence[Layer], merged: Tree) -> dict[Path, list[Leaf]]:
    """Return for each path that any layer speaks of all that was said about it, strongest first.

    The winner is the merged tree's own leaf. Below it stand the leaves that weaker layers have at
    that path, and the nulls by which one of them cleared a map above it. A path that is not in the
    merged tree was cleared, and the strongest thing said about it is that null.
    """
    flats = [flatten(layer.tree) for layer in reversed(layers)]
    winners = flatten(merged)
    result = {}
    for path in dict.fromkeys(chain(winners, *flats)):
        said = [leaf for flat in flats for leaf in _at(flat, path)]
        winner = winners.get(path, said[0])
        result[path] = [winner, *(leaf for leaf in said if leaf is not winner)]
    return result


def flatten(tree: Tree) -> dict[Path, Leaf]:
    """Return the leaves of a tree by path."""
    return dict(_leaves(tree, ()))


def _leaves(tree: Tree, path: Path) -> Iterable[tuple[Path, Leaf]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name), value


def _at(flat: Mapping[Path, Leaf], path: Path) -> Iterable[Leaf]:
    """Yield what one layer says about ``path``: its leaf, or the null of a map around it."""
    for length in range(len(path), 0, -1):
        if path[:length] in flat:
            yield flat[path[:length]]
