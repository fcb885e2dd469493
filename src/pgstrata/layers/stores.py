"""The layers of the secret stores: a sealed file, and the OS keyring.

This package only gives a secret its place in a layer; the stores themselves are in
``pgstrata.secrets``. Nothing here opens a secret: a leaf is a ``Secret`` that asks its store when
it is used, so ``show``, ``explain``, ``check`` and ``diff`` work without any key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from pgstrata.model import Finding, Layer, LayerName, Leaf, Origin, Secret
from pgstrata.schema.keys import SECTIONS
from pgstrata.schema.names import connection_name_problem, keys_of
from pgstrata.schema.suggest import closest

PASSWORD = "connection_settings.password"  # noqa: S105  # the name of a setting
_SECTION = "connection_settings"
_NEVER_STORED = "url"


class Stored(NamedTuple):
    """A secret that a store holds: for which setting, its value, and its place in the store."""

    key: str
    secret: Secret
    origin: Origin


def problem(key: str) -> str:
    """Return why no store can hold the setting ``key``, or nothing. Never quotes ``key``: it may be
    a secret that was typed in the wrong place.
    """
    path = key.split(".")
    if path[0] == "connections" and len(path) == 4 and not connection_name_problem(path[1]):  # noqa: PLR2004  # connections, name, section, key
        path = path[2:]
    if len(path) != 2 or path[0] != _SECTION:  # noqa: PLR2004  # section, key
        return "this is not the name of a secret setting"
    if path[1] == _NEVER_STORED:
        return "a URL cannot be stored: it says where to connect, which is no secret"
    found = keys_of(SECTIONS[_SECTION]).get(path[1])
    return "" if found and found.secret else "this is not the name of a secret setting"


def advice(key: str) -> str:
    """Return what to write instead of a ``key`` that no store can hold."""
    if key.endswith(f"{_SECTION}.{_NEVER_STORED}"):
        return "write the parts of the URL as settings, and store its password alone"
    guess = closest(key, secret_keys())
    return f"did you mean {guess!r}?" if guess else f"such as {PASSWORD}"


def secret_keys() -> list[str]:
    """Return the settings that a store may hold for the top-level connection."""
    keys = keys_of(SECTIONS[_SECTION]).values()
    return [f"{_SECTION}.{key.name}" for key in keys if key.secret and key.name != _NEVER_STORED]


def layer(
    name: LayerName, source: str, stored: Iterable[Stored], below: Sequence[Layer]
) -> tuple[Layer, list[Finding]]:
    """Return the layer of a store on top of ``below``, and what is wrong with its keys."""
    tree: dict[str, Any] = {}
    findings: list[Finding] = []
    names = {connection for under in below for connection in under.tree.get("connections", {})}
    for key, secret, origin in stored:
        path = key.split(".")
        if wrong := problem(key):
            findings.append(Finding("stored-key", wrong, origin, hint=advice(key)))
        elif path[0] == "connections" and path[1] not in names:
            findings.append(_undeclared(path[1], key, names, origin))
        else:
            node = tree
            for part in path[:-1]:
                node = node.setdefault(part, {})
            node[path[-1]] = Leaf(secret, origin)
    return Layer(name, source, tree), findings


def _undeclared(name: str, key: str, names: Iterable[str], origin: Origin) -> Finding:
    guess = closest(name, names)
    return Finding(
        "stored-key",
        f"no file has a connection {name!r}",
        origin,
        key=key,
        hint=f"did you mean {guess!r}?" if guess else "",
    )


def unlisted(below: Sequence[Layer], ask: Callable[[str, Secret | None], Secret]) -> list[Stored]:
    """Return what a store that cannot be listed may hold, to be asked for when it is used.

    That is the top-level password, and every secret setting that a weaker layer mentions, be it
    with ``null``. ``ask`` returns the Secret for a setting; it is told the weaker value, which
    counts where the store has none.
    """
    from pgstrata.layers.merge import flatten

    found: dict[str, Secret | None] = {PASSWORD: None}
    for under in below:
        for path, leaf in flatten(under.tree).items():
            if not problem(key := ".".join(path)):
                found[key] = leaf.value if isinstance(leaf.value, Secret) else None
    secrets = {key: ask(key, weaker) for key, weaker in found.items()}
    return [Stored(key, secret, Origin("keyring", key)) for key, secret in secrets.items()]
