"""PostgreSQL's own parameters, and its own reading of their values.

The table beside this file covers the major versions 13 to 18. It was collected from live servers by
``tests/schema/collect_parameters.py``; where versions differ it holds the widest range and all
values, so that no version's own is refused here. The reading of values follows PostgreSQL's
documentation, "Parameter Names and Values", and is compared with live servers by the tests.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache

_SESSION_CONTEXTS = ("user", "superuser", "backend", "superuser-backend")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One row of ``pg_settings``, over several versions of PostgreSQL.

    ``vartype`` is bool, string, integer, real or enum. ``unit`` is that of a bare number: empty,
    ms, s, min, B, kB, 8kB or MB. ``context`` says who may change it and when. ``minimum`` and
    ``maximum`` are in ``unit``, None for what is no number. ``values`` are those of an enum;
    ``spellings`` pairs what the server takes but does not list, or reads as another, with what it
    reads. ``since`` and ``until`` are major versions: 13 may mean earlier, None means still there.
    """

    name: str
    vartype: str
    unit: str
    context: str
    minimum: float | None
    maximum: float | None
    values: tuple[str, ...]
    spellings: tuple[tuple[str, str], ...]
    since: int
    until: int | None

    @property
    def settable_by_session(self) -> bool:
        """Whether a session may set it, at its start or later; some need a superuser for that."""
        return self.context in _SESSION_CONTEXTS


def find(name: str) -> Parameter | None:
    """Return the parameter of that name, in whatever case, or None."""
    line = _lines().get(name.lower())
    return _parameter(line) if line else None


@cache
def names() -> tuple[str, ...]:
    """Return the official spelling of every parameter, in alphabetical order."""
    return tuple(line.partition("\t")[0] for line in _lines().values())


# Letters beyond ASCII are allowed: the server looks at bytes, and all of theirs have the high bit.
# The ASCII characters that are not allowed are named, since Python compiles a range of all others
# in 20 ms, which every command would pay for.
_PART = r"[^\x00-@\[-^`{-\x7f][^\x00-#%-/:-@\[-^`{-\x7f]*"
_CUSTOM = re.compile(rf"{_PART}(\.{_PART})+")


def is_custom(name: str) -> bool:
    """Whether the name has the form that extensions and applications use, e.g. ``app.user_id``."""
    return _CUSTOM.fullmatch(name) is not None


def canonical(parameter: Parameter, text: str) -> str | int | float | bool:
    """Return what the server reads from ``text``; a number is in the parameter's unit.

    So two texts mean the same if this is equal for both: ``5s`` and ``5000``, ``on`` and ``true``.
    Strings are returned as they are: what they may hold only the server knows.

    Raises ``ValueError``, with a message that quotes ``text`` and says what is allowed.
    """
    if parameter.vartype == "bool":
        return _boolean(text)
    if parameter.vartype == "enum":
        return _enum(parameter, text)
    if parameter.vartype in ("integer", "real"):
        return _in_range(parameter, _quantity(parameter, text), text)
    return text


def meant(name: str, text: str) -> str | int | float | bool:
    """Return what the server reads for a parameter, or the text where that is not known."""
    parameter = find(name)
    if parameter is None:
        return text
    try:
        return canonical(parameter, text)
    except ValueError:
        return text


def kilobytes(text: str) -> int:
    """Return an amount of memory such as ``16GB`` in kB. Raises ``ValueError``."""
    parameter = find("effective_cache_size")
    assert parameter is not None  # the table has it
    return int(canonical(parameter, text)) * 8  # it counts blocks of 8 kB


def lacks_unit(parameter: Parameter, text: str) -> bool:
    """Whether ``text`` is a bare number where it counts milliseconds, 8 kB blocks or the like.

    0 and -1 do not count: they mean off, or the default, in any unit.
    """
    number, unit = _split(text, whole=False)
    return bool(parameter.unit) and not unit and not math.isnan(number) and number not in (0, -1)


@cache
def _lines() -> dict[str, str]:
    """Return the lines of the table by lower-case name, which the file is sorted by.

    A line becomes a Parameter only when it is asked for: all together would take longer than
    reading the file.
    """
    from importlib.resources import files  # slow to import, and most commands never come here

    table = files(__package__).joinpath("parameters.tsv").read_text(encoding="utf-8")
    return {line.partition("\t")[0].lower(): line for line in table.splitlines()[1:]}


@cache
def _parameter(line: str) -> Parameter:
    name, vartype, unit, context, minimum, maximum, *rest = line.split("\t")
    values, spellings, since, until = rest
    return Parameter(
        name,
        vartype,
        unit,
        context,
        float(minimum) if minimum else None,
        float(maximum) if maximum else None,
        tuple(values.split(",")) if values else (),
        tuple(_pair(spelling) for spelling in spellings.split(",")) if spellings else (),
        int(since),
        int(until) if until else None,
    )


def _pair(spelling: str) -> tuple[str, str]:
    word, _, reading = spelling.partition("=")
    return word, reading


_BOOLEANS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


def _boolean(text: str) -> bool:
    # The server takes any beginning of these words that leaves no doubt.
    meant = {value for word, value in _BOOLEANS.items() if word.startswith(text.lower())}
    if len(meant) != 1:
        raise ValueError(f"{text!r} is not a boolean; write true or false")
    return meant.pop()


def _enum(parameter: Parameter, text: str) -> str:
    readings = {value.lower(): value for value in parameter.values} | dict(parameter.spellings)
    try:
        return readings[text.lower()]
    except KeyError:
        raise ValueError(f"{text!r} is not one of {', '.join(parameter.values)}") from None


# Numbers as C's strtol (in base 0) and strtod take them, because the server reads with these.
_SPACES = " \t\n\v\f\r"
_INTEGER = re.compile(rf"[{_SPACES}]*([+-]?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)")
_NUMBER = re.compile(
    rf"[{_SPACES}]*[+-]?(?:0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)(?:[pP][+-]?[0-9]+)?"
    r"|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
)

# Units from the largest to the smallest, in the smallest. Their case counts to the server too.
_MEMORY = {"TB": 1 << 40, "GB": 1 << 30, "MB": 1 << 20, "kB": 1 << 10, "B": 1}
_TIME = {"d": 86_400 * 10**6, "h": 3600 * 10**6, "min": 60 * 10**6, "s": 10**6, "ms": 1000, "us": 1}
_BASES = {unit: (sizes, size) for sizes in (_MEMORY, _TIME) for unit, size in sizes.items()}
_BASES["8kB"] = (_MEMORY, 8 << 10)


def _quantity(parameter: Parameter, text: str) -> float:
    """Return the number that ``text`` stands for, in the parameter's unit; whole for an integer."""
    number, unit = _split(text, whole=parameter.vartype == "integer")
    if unit:
        number = _convert(number, unit, parameter.unit)
    if math.isnan(number):
        raise ValueError(f"{text!r} is not {_wanted(parameter)}")
    return round(number) if parameter.vartype == "integer" and math.isfinite(number) else number


def _split(text: str, *, whole: bool) -> tuple[float, str]:
    """Return the number that ``text`` starts with, NaN for none, and the unit behind it."""
    integer = _INTEGER.match(text) if whole else None
    end = integer.end() if integer else 0
    if whole and text[end : end + 1] not in {".", "e", "E"}:
        return _integer(integer), text[end:].strip(_SPACES)
    number = _NUMBER.match(text)
    return (_float(number[0]), text[number.end() :].strip(_SPACES)) if number else (math.nan, "")


def _integer(match: re.Match[str] | None) -> float:
    if match is None:
        return math.nan
    sign, digits = match.groups()
    octal = digits.startswith("0") and not digits.startswith(("0x", "0X"))
    return _float(sign + (hex(int(digits, 8)) if octal else digits))


def _float(text: str) -> float:
    try:
        return float.fromhex(text) if "x" in text.lower() else float(text)
    except OverflowError:
        return math.inf


def _convert(number: float, unit: str, base: str) -> float:
    """Return ``number`` of ``unit`` in units of ``base``; NaN where one does not fit the other.

    As in the server, a fraction is first rounded to a whole number of the next smaller unit: 1.1GB
    are 1126 MB, not 1126.4.
    """
    sizes, scale = _BASES.get(base, ({}, 1))
    if unit not in sizes:
        return math.nan
    converted = number * (sizes[unit] / scale)
    smaller = next((size / scale for size in sizes.values() if size < sizes[unit]), None)
    if smaller is None or not math.isfinite(converted / smaller):
        return converted
    return round(converted / smaller) * smaller


def _wanted(parameter: Parameter) -> str:
    if parameter.unit in _TIME:
        return "a time; write e.g. 30s, 500ms or 2min"
    if parameter.unit:
        return "an amount of memory; write e.g. 64MB, 512kB or 1GB"
    return f"a {'whole number' if parameter.vartype == 'integer' else 'number'}, without a unit"


def _in_range(parameter: Parameter, number: float, text: str) -> float:
    low = -math.inf if parameter.minimum is None else parameter.minimum
    high = math.inf if parameter.maximum is None else parameter.maximum
    if low <= number <= high:
        return number
    unit = " blocks of 8kB" if parameter.unit == "8kB" else f" {parameter.unit}".rstrip()
    raise ValueError(f"{text!r} is out of range; allowed is {low:.12g} to {high:.12g}{unit}")
