"""The merge, done by dynaconf. The only place that imports it.

Dynaconf by itself casts text, evaluates ``@`` tokens, joins lists, looks for files in parent
folders, runs hook files and obeys ``*_FOR_DYNACONF`` variables. None of it is wanted here, so it is
given nothing to do it with: values arrive as opaque leaves, from a loader of our own, in an object
whose environment is empty and whose other sources are off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeAlias

from dynaconf import Dynaconf
from dynaconf.base import Settings
from dynaconf.loaders.base import SourceMetadata
from dynaconf.utils import object_merge

from pgstrata.model import Layer, Leaf

Tree: TypeAlias = dict[str, Any]

_layers: ContextVar[Sequence[Layer]] = ContextVar("layers", default=())


class _Closed(Settings):  # type: ignore[misc]  # dynaconf has no annotations
    """Settings that see no process environment, where ``*_FOR_DYNACONF`` would reconfigure them."""

    @property
    def environ(self) -> Mapping[str, str]:
        return {}


def merge(layers: Sequence[Layer]) -> Tree:
    """Return the layers, weakest first, as one tree: maps are merged deeply, leaves replaced."""
    token = _layers.set(layers)
    try:
        settings = Dynaconf(
            _wrapper_class=_Closed,
            settings_files=[],
            core_loaders=[],
            loaders=[__name__],
            includes=[],
            preload=[],
            envvar_prefix=None,
            environments=False,
            load_dotenv=False,
            merge_enabled=True,
            auto_cast=False,
            dotted_lookup=False,
            nested_separator=False,
            sysenv_fallback=False,
            vault_enabled=False,
            redis_enabled=False,
            fresh_vars=[],
            root_path=str(Path.cwd()),
        )
        merged = settings.as_dict()
    finally:
        _layers.reset(token)
    # Dynaconf keeps some of its own options among the settings; none of them is a leaf or a map.
    return {name.lower(): value for name, value in merged.items() if isinstance(value, dict | Leaf)}


def load(obj: Any, env: object = None, silent: object = True, key: object = None) -> None:  # noqa: ARG001, FBT002  # the signature that dynaconf calls loaders with
    """Give dynaconf the layers. This module is the one loader that ``merge`` names."""
    for layer in _layers.get():
        source = SourceMetadata("pgstrata", layer.source or layer.name)
        obj.update(_copy(layer.tree), loader_identifier=source, merge=True, tomlfy=False)


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


def stacks(layers: Sequence[Layer], merged: Tree) -> dict[tuple[str, ...], list[Leaf]]:
    """Return for each leaf of the merged tree all that was said about it, strongest first.

    The winner is the merged tree's own leaf. Below it stand the leaves that weaker layers have at
    that path, and the nulls by which one of them cleared a map above it.
    """
    flats = [flatten(layer.tree) for layer in reversed(layers)]
    result = {}
    for path, winner in flatten(merged).items():
        said = [leaf for flat in flats for leaf in _at(flat, path)]
        result[path] = [winner, *(leaf for leaf in said if leaf is not winner)]
    return result


def flatten(tree: Tree, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Leaf]:
    """Return the leaves of a tree by path."""
    flat: dict[tuple[str, ...], Leaf] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat.update(flatten(value, (*path, name)))
        else:
            flat[path + (name,)] = value  # noqa: RUF005  # a star in a subscript needs Python 3.11
    return flat


def _at(flat: Mapping[tuple[str, ...], Leaf], path: tuple[str, ...]) -> list[Leaf]:
    """Return what one layer says about ``path``: its leaf, or the null of a map around it."""
    return [flat[path[:length]] for length in range(len(path), 0, -1) if path[:length] in flat]
