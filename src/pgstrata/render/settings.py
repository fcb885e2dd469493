"""Settings as text and as JSON. A secret is a mask, unless it is asked to be revealed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pgstrata.model import Given, Origin, Secret, Setting, Value
from pgstrata.render.columns import columns
from pgstrata.render.printable import printable

UNSET = "(unset)"
# With these, most rows fit into 100 columns, and one long list does not widen all the others.
_WIDEST = (40, 22)


def text(settings: Iterable[Setting], *, reveal: bool = False) -> str:
    """Return one line for each setting: key, value, origin."""
    rows = [(s.key, value_text(s.value, reveal=reveal), str(s.origin)) for s in settings]
    return columns(rows, header=("KEY", "VALUE", "FROM"), widest=_WIDEST)


def value_text(value: Value, *, reveal: bool = False) -> str:
    """Return a value as it would be written in a file, on one line."""
    if value is None:
        return UNSET
    if isinstance(value, Secret):
        return printable(value.reveal()) if reveal else f"{value} ({value.source})"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(value).removesuffix(".0")
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_item, value)) + "]"
    return printable(str(value))


def _item(item: Any) -> str:
    if isinstance(item, dict):
        return "{" + ", ".join(f"{name}: {_item(inner)}" for name, inner in item.items()) + "}"
    return value_text(item)


def as_json(setting: Setting, *, reveal: bool = False) -> dict[str, object]:
    """Return the JSON shape of a setting: key, value, secret, origin."""
    return {
        "key": setting.key,
        "value": value_json(setting.value, reveal=reveal),
        "secret": setting.secret,
        "origin": setting.origin.as_json(),
    }


def value_json(value: Value, *, reveal: bool = False) -> object:
    """Return a value as JSON has it."""
    if isinstance(value, Secret):
        return value.reveal() if reveal else str(value)
    return list(value) if isinstance(value, tuple) else value


def stack_text(setting: Setting) -> str:
    """Return all that was said about a key, the winner first and marked."""
    rows = [
        ("" if index else "->", _said(given.value), str(given.origin), _layer(given.origin))
        for index, given in enumerate(setting.stack)
    ]
    return columns(rows)


def _said(value: Value) -> str:
    """Return a value as its layer said it: there, a null is what unset the key."""
    return "null" if value is None else value_text(value)


def _layer(origin: Origin) -> str:
    """Return the layer of a place in a file. Every other origin begins with the layer's name."""
    return origin.layer if origin.line else ""


def stack_json(setting: Setting) -> list[dict[str, object]]:
    """Return the JSON shape of a stack."""
    return [_given_json(given, winner=index == 0) for index, given in enumerate(setting.stack)]


def _given_json(given: Given, *, winner: bool) -> dict[str, object]:
    return {
        "value": value_json(given.value),
        "winner": winner,
        "origin": given.origin.as_json(),
    }
