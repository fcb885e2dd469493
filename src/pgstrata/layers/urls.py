"""``connection_settings.url`` taken apart into keywords, in a layer of its own just below the one
that gave it.

A URL is one whole: the strongest layer that has one decides, and nothing of a weaker URL shines
through. So a password can never travel to the host of another URL. A keyword beside the URL, or in
a stronger layer, wins over it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pgstrata.errors import ConfigError, EnvInterpolationError, SecretError
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
            if not decided & {path, path[:1]} and isinstance(leaf.value, Secret):
                settings, found = _settings(leaf, ".".join((*path, _SECTION, "url")))
                _put(tree, path, settings)
                findings += found
            decided.add(path)
        if tree:
            expanded.append(Layer(layer.name, layer.source, tree))
    return expanded[::-1], findings


def _urls(tree: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], Leaf]]:
    """Yield what a layer says about the URL of each target, with the target's path: the URL, or a
    null of it or of what it stands in. A null of all connections has their path.
    """
    targets: list[tuple[tuple[str, ...], Any]] = [((), tree)]
    connections = tree.get("connections")
    if isinstance(connections, dict):
        targets += [(("connections", name), target) for name, target in connections.items()]
    elif isinstance(connections, Leaf):
        targets.append((("connections",), connections))
    for path, target in targets:
        settings = target.get(_SECTION) if isinstance(target, dict) else target
        url = settings.get("url") if isinstance(settings, dict) else settings
        if isinstance(url, Leaf):
            yield path, url


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
        message = f"{key}: {error}"
        return {}, [Finding("invalid-url", message, leaf.origin, key=key, hint=error.hint)]
    return {name: Leaf(value, leaf.origin, from_url=True) for name, value in values.items()}, []


def keywords(url: Secret) -> dict[str, Value]:
    """Return the keywords that a URL stands for; those that are secret, as Secrets that read the
    URL again.

    Raises ``MalformedUrlError``, or ``EnvInterpolationError`` where the URL is a reference that
    leads nowhere.
    """
    values, problem = _read(url)
    if problem:
        raise MalformedUrlError(problem, hint=_HINT)
    secrets = [name for name in values if connection_keys()[name].secret]
    public = {name: value for name, value in values.items() if name not in secrets}
    del values  # so that no traceback with locals shows it
    return {**public, **{name: _secret(url, name, public) for name in secrets}}


def _secret(url: Secret, name: str, public: dict[str, Value]) -> Secret:
    """Return the secret part of a URL, read again at each use, so that a rotated one is seen."""

    def reveal() -> str:
        values, problem = _read(url)
        text = str(values.pop(name, ""))
        rest = {key: value for key, value in values.items() if key in public}
        del values
        if text and rest == public:
            return text
        del text
        # Else the new URL's password would be sent to the old URL's host.
        raise SecretError(
            f"{url.source}: {problem or 'the URL names another server since it was loaded'}",
            hint="load the configuration again",
        )

    return Secret(reveal, source=url.source)


def _read(url: Secret) -> tuple[dict[str, Value], str]:
    """Return libpq's own reading of a URL, or why it is none.

    The reason is returned and not raised, so that the URL is in no frame that raises.
    """
    parsed = parse_url(url.reveal())
    if isinstance(parsed, str):
        return {}, parsed
    values: dict[str, Value] = {}
    for name, text in parsed.items():
        key = connection_keys()[name]
        try:
            values[name] = text if key.secret else decode(key, text)
        except ValueError:
            return {}, f"its {name} is not valid"
    return values, ""
