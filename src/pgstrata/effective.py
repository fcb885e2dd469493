"""Effective settings: the merged tree as settings for each connection, with inheritance, defaults
and libpq's share.

A stack holds all that was said about a key, strongest first::

    the connection's own layers, the top-level layers, the default, what libpq would fill in
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any, NamedTuple, TypeAlias

from pgstrata.layers.ambient import ambient
from pgstrata.layers.merge import stacks
from pgstrata.model import DEFAULT, Finding, Given, Layer, Leaf, Setting, Unresolved
from pgstrata.schema.keys import SECTIONS, TABLES
from pgstrata.schema.names import TARGET_SECTIONS, keys_of

Stack: TypeAlias = list[Leaf]
Stacks: TypeAlias = dict[tuple[str, ...], Stack]

_CONNECTION = "connection_settings"
_URL = (_CONNECTION, "url")


class Effective(NamedTuple):
    """The settings of an environment, those of each connection by its name, and references that
    lead nowhere.
    """

    settings: dict[str, Setting]
    targets: dict[str, dict[str, Setting]]
    findings: list[Finding]


def resolve(
    layers: Sequence[Layer], merged: dict[str, Any], environ: Mapping[str, str] | None
) -> Effective:
    """Return what holds in the end, for the environment and for each of its connections.

    ``environ`` is None where libpq's share, which differs by machine, is to be left out.
    """
    said = stacks(layers, merged)
    shared = {path: stack for path, stack in said.items() if path[0] in TARGET_SECTIONS}
    general = {
        path: said[path] for path in said if path[0] not in (*TARGET_SECTIONS, "connections")
    }
    findings: list[Finding] = []
    settings = _settings(_with_defaults(general, target=False), "", findings)
    targets = {"default": _target(shared, "", environ, findings)}
    for name in _connections(merged):
        inherited = _inherit(_own(said, name), shared)
        targets[name] = _target(inherited, f"connections.{name}.", environ, findings)
    for target in targets.values():
        # A reference that leads nowhere leaves it out.
        target.update({key: settings[key] for key in ("local",) if key in settings})
    return Effective(settings, targets, findings)


def _connections(merged: Mapping[str, Any]) -> list[str]:
    connections = merged.get("connections")
    if not isinstance(connections, dict):
        return []
    return sorted(name for name, tree in connections.items() if isinstance(tree, dict))


def _own(said: Stacks, name: str) -> Stacks:
    """Return what is said about a connection itself, since a null last removed all of it."""
    home = ("connections", name)
    removed = [*said.get(home, []), *said.get(home[:1], [])]
    own = {
        path[2:]: list(takewhile(lambda leaf: leaf not in removed, stack))
        for path, stack in said.items()
        if path[:2] == home and path != home
    }
    return {path: stack for path, stack in own.items() if stack}


def _inherit(own: Stacks, shared: Stacks) -> Stacks:
    """Put a connection's own stacks on top of the shared ones. Its null of a section hides what is
    below.

    Its own URL hides all that came of the shared one: a password must not travel to another host.
    """
    result: Stacks = {}
    for path in (*own, *(path for path in shared if path not in own)):
        mine = own.get(path) or own.get(path[:1], [])
        theirs = shared.get(path, [])
        if _URL in own:
            theirs = [leaf for leaf in theirs if not leaf.from_url]
        if mine or theirs:
            result[path] = [*mine, *theirs]
    return result


def _target(
    said: Stacks, prefix: str, environ: Mapping[str, str] | None, findings: list[Finding]
) -> dict[str, Setting]:
    said = _with_defaults(said, target=True)
    if environ is not None:
        _add_ambient(said, environ)
    return _settings(said, prefix, findings)


def _add_ambient(said: Stacks, environ: Mapping[str, str]) -> None:
    configured = {
        path[1]: winner.value
        for path, stack in said.items()
        if path[0] == _CONNECTION and len(path) > 1 and (winner := _winner(stack)) is not None
        if not isinstance(winner.value, Unresolved)
    }
    for name, leaves in ambient(configured, environ).items():
        said[_CONNECTION, name] = [*said.get((_CONNECTION, name), []), *leaves]


def _with_defaults(said: Stacks, *, target: bool) -> Stacks:
    result = dict(said)
    for path, value in _defaults(target=target):
        result[path] = [*result.get(path, []), Leaf(value, DEFAULT)]
    return result


def _defaults(*, target: bool) -> Iterable[tuple[tuple[str, ...], Any]]:
    for section in SECTIONS.values():
        if section.target != target:
            continue
        if section.key is not None and section.key.default is not None:
            yield (section.name,), section.key.default
        elif section.shape in TABLES:
            for key in keys_of(section).values():
                if key.default is not None:
                    yield (section.name, key.name), key.default


def _settings(said: Stacks, prefix: str, findings: list[Finding]) -> dict[str, Setting]:
    settings: dict[str, Setting] = {}
    for path, stack in said.items():
        if len(path) == 1 and SECTIONS[path[0]].is_map:
            continue  # the null of a whole section, which the stacks of its keys show
        winner = _winner(stack)
        key = prefix + ".".join(path)
        if winner is not None and isinstance(winner.value, Unresolved):
            findings.append(_unresolved(key, winner.value, winner))
        else:
            settings[".".join(path)] = _setting(key, path, stack, winner)
    return settings


def _setting(key: str, path: tuple[str, ...], stack: Stack, winner: Leaf | None) -> Setting:
    """Return the setting that a stack makes. One that some layer unset has no winner, and is there
    to be explained.
    """
    top = winner or stack[0]
    value = None if isinstance(top.value, Unresolved) else top.value
    overrode = tuple(_given(leaf) for leaf in stack if leaf is not top)
    return Setting(key, value, top.origin, _is_secret(path), overrode, top.items)


def _unresolved(key: str, problem: Unresolved, leaf: Leaf) -> Finding:
    message = f"{key}: {problem.message}"
    return Finding("interpolation", message, leaf.origin, key=key, hint=problem.hint)


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


def _is_secret(path: tuple[str, ...]) -> bool:
    if path[0] != _CONNECTION:
        return False
    known = keys_of(SECTIONS[_CONNECTION]).get(path[1])
    return known is not None and known.secret
