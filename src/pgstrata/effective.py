"""Effective settings: the merged tree as settings for each connection, with inheritance, defaults
and libpq's share.

A stack holds all that was said about a key, strongest first::

    the connection's own layers, the top-level layers, the default, what libpq would fill in
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from pgstrata.layers.ambient import ambient
from pgstrata.layers.merge import stacks
from pgstrata.layers.shape import TARGET_SECTIONS, keys_of
from pgstrata.model import DEFAULT, Finding, Given, Layer, Leaf, Setting, Unresolved
from pgstrata.schema.keys import SECTIONS

Stack: TypeAlias = list[Leaf]
Stacks: TypeAlias = dict[tuple[str, ...], Stack]


def resolve(
    layers: Sequence[Layer], merged: dict[str, Any], environ: Mapping[str, str]
) -> tuple[dict[str, Setting], dict[str, dict[str, Setting]], list[Finding]]:
    """Return the settings of the environment, those of each connection by its name, and unresolved
    references.
    """
    said = stacks(layers, merged)
    shared = {path: stack for path, stack in said.items() if path[0] in TARGET_SECTIONS}
    general = {
        path: stack
        for path, stack in said.items()
        if path[0] not in TARGET_SECTIONS and path[0] != "connections"
    }
    findings: list[Finding] = []
    settings = _settings(_with_defaults(general, target=False), "", findings)
    targets = {"default": _target(shared, "", environ, findings)}
    for name in _connections(merged):
        own = {path[2:]: stack for path, stack in said.items() if path[:2] == ("connections", name)}
        targets[name] = _target(_inherit(own, shared), f"connections.{name}.", environ, findings)
    for target in targets.values():
        target.update({key: settings[key] for key in ("local",) if key in settings})
    return settings, targets, findings


def _connections(merged: Mapping[str, Any]) -> list[str]:
    connections = merged.get("connections", {})
    return sorted(name for name, tree in connections.items() if isinstance(tree, dict))


def _inherit(own: Stacks, shared: Stacks) -> Stacks:
    """Put a connection's own stacks on top of the shared ones. Its null of a section hides what is
    below.
    """
    result: Stacks = {}
    for path in (*own, *(path for path in shared if path not in own)):
        cleared = own.get(path[:1], []) if len(path) > 1 else []
        result[path] = [*own.get(path, []), *cleared, *shared.get(path, [])]
    return result


def _target(
    said: Stacks, prefix: str, environ: Mapping[str, str], findings: list[Finding]
) -> dict[str, Setting]:
    said = _with_defaults(said, target=True)
    section = "connection_settings"
    configured = {
        path[1]: winner.value
        for path, stack in said.items()
        if path[0] == section and len(path) > 1 and (winner := _winner(stack)) is not None
        if not isinstance(winner.value, Unresolved)
    }
    for name, leaves in ambient(configured, environ).items():
        said[section, name] = [*said.get((section, name), []), *leaves]
    return _settings(said, prefix, findings)


def _with_defaults(said: Stacks, *, target: bool) -> Stacks:
    result = {path: list(stack) for path, stack in said.items()}
    for path, value in _defaults(target=target):
        result.setdefault(path, []).append(Leaf(value, DEFAULT))
    return result


def _defaults(*, target: bool) -> Iterable[tuple[tuple[str, ...], Any]]:
    for section in SECTIONS.values():
        if section.target != target:
            continue
        if section.key is not None and section.key.default is not None:
            yield (section.name,), section.key.default
        elif section.shape in ("connection", "pool"):
            for key in keys_of(section).values():
                if key.default is not None:
                    yield (section.name, key.name), key.default


def _settings(said: Stacks, prefix: str, findings: list[Finding]) -> dict[str, Setting]:
    settings: dict[str, Setting] = {}
    for path, stack in said.items():
        key = ".".join(path)
        setting = _setting(prefix + key, stack, findings)
        if setting is not None:
            settings[key] = setting
    return settings


def _setting(key: str, stack: Stack, findings: list[Finding]) -> Setting | None:
    winner = _winner(stack)
    if winner is None:
        return _cleared(key, stack)
    if isinstance(winner.value, Unresolved):
        problem = winner.value
        findings.append(
            Finding(
                "interpolation",
                f"{key}: {problem.message}",
                winner.origin,
                key=key,
                hint=problem.hint,
            )
        )
        return None
    overrode = tuple(_given(leaf) for leaf in stack if leaf is not winner)
    return Setting(key, winner.value, winner.origin, _is_secret(key), overrode)


def _cleared(key: str, stack: Stack) -> Setting | None:
    """Return a setting that some layer unset, so that it can be explained. A cleared section is
    none.
    """
    if key in SECTIONS and SECTIONS[key].key is None:
        return None
    null = stack[0]
    return Setting(
        key, None, null.origin, _is_secret(key), tuple(_given(leaf) for leaf in stack[1:])
    )


def _winner(stack: Stack) -> Leaf | None:
    """Return the strongest value. A null hides what layers said below it, but not the default or
    libpq's share.
    """
    hidden = False
    for leaf in stack:
        if leaf.value is None:
            hidden = True
        elif not hidden or leaf.origin.layer in ("default", "libpq"):
            return leaf
    return None


def _given(leaf: Leaf) -> Given:
    value = leaf.value
    return Given(f"({value.message})" if isinstance(value, Unresolved) else value, leaf.origin)


def _is_secret(key: str) -> bool:
    section, _, name = key.rpartition(".")
    if section.rpartition(".")[2] != "connection_settings":
        return False
    known = keys_of(SECTIONS["connection_settings"]).get(name)
    return known is not None and known.secret
