"""``connection_settings.url`` taken apart into keywords, in a layer of its own just below the one
that gave it.

A URL is one whole: the strongest layer that has one decides, and nothing of a weaker URL shines
through. So a password can never travel to the host of another URL. A keyword beside the URL, or in
a stronger layer, wins over it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pgstrata.errors import ConfigError, EnvInterpolationError
from pgstrata.model import Finding, Layer, Leaf, Secret, Value
from pgstrata.schema.decode import decode
from pgstrata.schema.libpq import connection_keys, parse_url

_SECTION = "connection_settings"
_HINT = "percent-encode the special characters of user and password, e.g. %40 for @"


class MalformedUrlError(ConfigError):
    """Not a PostgreSQL URL. Carries no part of it: in a malformed one any may be the password."""


def expand(layers: Sequence[Layer]) -> tuple[list[Layer], list[Finding]]:
    """Return the layers with one more below each that gives a deciding URL, and what is wrong with
    those URLs.
    """
    expanded: list[Layer] = []
    findings: list[Finding] = []
    decided: set[tuple[str, ...]] = set()
    for layer in reversed(layers):
        expanded.append(layer)
        tree: dict[str, Any] = {}
        for path, leaf in _urls(layer.tree):
            if path not in decided and isinstance(leaf.value, Secret):
                settings, finding = _settings(leaf, ".".join((*path, _SECTION, "url")))
                _put(tree, path, settings)
                findings += finding
            decided.add(path)
        if tree:
            expanded.append(Layer(layer.name, layer.source, tree))
    return expanded[::-1], findings


def _urls(tree: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], Leaf]]:
    """Yield each URL of a layer with the path of the target that it belongs to."""
    targets: list[tuple[tuple[str, ...], Any]] = [((), tree)]
    connections = tree.get("connections")
    if isinstance(connections, dict):
        targets += [(("connections", name), target) for name, target in connections.items()]
    for path, target in targets:
        settings = target.get(_SECTION) if isinstance(target, dict) else None
        if isinstance(settings, dict) and "url" in settings:
            yield path, settings["url"]


def _put(tree: dict[str, Any], path: tuple[str, ...], settings: dict[str, Leaf]) -> None:
    for name in path:
        tree = tree.setdefault(name, {})
    tree[_SECTION] = settings


def _settings(leaf: Leaf, key: str) -> tuple[dict[str, Leaf], list[Finding]]:
    assert isinstance(leaf.value, Secret)
    try:
        values = keywords(leaf.value)
    except EnvInterpolationError as error:
        return {}, [Finding("interpolation", str(error), leaf.origin, key=key, hint=error.hint)]
    except MalformedUrlError as error:
        return {}, [
            Finding("invalid-url", f"{key}: {error}", leaf.origin, key=key, hint=error.hint)
        ]
    return {name: Leaf(value, leaf.origin) for name, value in values.items()}, []


def keywords(url: Secret) -> dict[str, Value]:
    """Return the keywords that a URL stands for; those that are secret, as Secrets that read the
    URL again.

    Raises ``MalformedUrlError``, or ``EnvInterpolationError`` where the URL is a reference that
    leads nowhere.
    """
    parsed = _parse(url)
    values: dict[str, Value] = {}
    problem = ""
    for name, text in parsed.items():
        key = connection_keys()[name]
        if key.secret:
            values[name] = Secret(lambda name=name: _parse(url)[name], source=url.source)  # type: ignore[misc]  # the default binds the loop variable
            continue
        try:
            values[name] = decode(key, text)
        except ValueError:
            problem = f"its {name} is not valid"
    if problem:
        raise MalformedUrlError(problem, hint=_HINT)
    return values


def _parse(url: Secret) -> dict[str, str]:
    """Return libpq's own reading of a URL. The URL never reaches a frame that raises."""
    parsed = parse_url(url.reveal())
    if isinstance(parsed, str):
        raise MalformedUrlError(parsed, hint=_HINT)
    return parsed
