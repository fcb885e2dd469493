"""From the text of a value to its type, which the key decides and never the looks of the text."""

from __future__ import annotations

import re
from collections.abc import Callable

from pgstrata.model import Value
from pgstrata.schema import parameters
from pgstrata.schema.keys import Key
from pgstrata.schema.suggest import closest

_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]*)")
_NUMBER = re.compile(r"[+-]?(0|[1-9][0-9]*)(\.[0-9]+)?")
_PASSWORD = re.compile(r"password\s*=", re.IGNORECASE)
_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0"}
_LAST_PORT = 65535


def decode(key: Key, text: str) -> Value:
    """Return the value that ``text`` stands for under ``key``.

    Raises ``ValueError`` with a message that fits behind the key's name. A secret is never passed
    here.
    """
    if "\0" in text:
        raise ValueError("holds a NUL character, which PostgreSQL cannot take")
    if may_hold_password(text):
        # Not quoted, and not taken: this key would be shown in clear.
        raise ValueError("holds a URL or a password; those go under connection_settings.url")
    value = _DECODERS[key.kind](text)
    if key.choices and value not in key.choices:
        raise ValueError(_not_a_choice(text, key.choices))
    if isinstance(value, int | float) and not isinstance(value, bool):
        _check_range(key, value)
    return value


def may_hold_password(text: str) -> bool:
    """Whether a text is a URL with a user in it, or a conninfo string with a password."""
    return ("://" in text and "@" in text) or _PASSWORD.search(text) is not None


def _text(text: str) -> str:
    try:
        text.encode()  # a variable that is not in the locale's encoding arrives with surrogates
    except UnicodeEncodeError:
        raise ValueError("is not Unicode text") from None
    return text


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def _number(text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} is not a number")
    return float(text)


def _boolean(text: str) -> bool:
    lowered = text.lower()
    if lowered not in _TRUE | _FALSE:
        raise ValueError(f"{text!r} is neither true nor false")
    return lowered in _TRUE


def _flag(text: str) -> int:
    return int(_boolean(text))


def _ports(text: str) -> str | int:
    ports = [_port(part.strip()) for part in text.split(",")]
    return ports[0] if len(ports) == 1 else ",".join(map(str, ports))


def _port(text: str) -> int:
    if not _INTEGER.fullmatch(text) or not 1 <= int(text) <= _LAST_PORT:
        raise ValueError(f"{text!r} is not a port; ports are whole numbers from 1 to {_LAST_PORT}")
    return int(text)


def _memory(text: str) -> str:
    """Return the text as it is, once PostgreSQL's own reading of memory takes it."""
    memory = parameters.find("effective_cache_size")
    assert memory is not None  # the table has it
    if parameters.lacks_unit(memory, text):
        raise ValueError(f"{text!r} has no unit; write e.g. 16GB")
    parameters.canonical(memory, text)
    return text


_DECODERS: dict[str, Callable[[str], Value]] = {
    "text": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "flag": _flag,
    "ports": _ports,
    "memory": _memory,
}


def _check_range(key: Key, value: float) -> None:
    if key.minimum is not None and value < key.minimum:
        raise ValueError(f"{value} is too small; the least is {key.minimum:g}")
    if key.maximum is not None and value > key.maximum:
        raise ValueError(f"{value} is too large; the most is {key.maximum:g}")


def _not_a_choice(text: str, choices: tuple[str, ...]) -> str:
    guess = closest(text, choices)
    meant = f" (did you mean {guess!r}?)" if guess else ""
    return f"{text!r} is not one of {', '.join(choices)}{meant}"
