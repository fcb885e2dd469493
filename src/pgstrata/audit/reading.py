"""A PostgreSQL parameter as a session of the program has it, and who says so.

The order is PostgreSQL's own, strongest first: the client's start-up packet or SET, ALTER ROLE … IN
DATABASE, ALTER ROLE, ALTER DATABASE, ALTER ROLE ALL, the server's files.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import TypeAlias

from pgstrata.audit.model import Row
from pgstrata.schema import parameters

Scalar: TypeAlias = str | int | float | bool

_MILLISECONDS = {"ms": 1, "s": 1000, "min": 60_000}
_KILOBYTES = {"B": 1 / 1024, "kB": 1, "8kB": 8, "MB": 1024}
# What the looking session itself brought along, which says nothing of any other session.
OWN_SOURCES = ("client", "session", "user", "database user", "database")


@dataclass(frozen=True, slots=True)
class Reading:
    """A parameter and its value, read as the server reads it, in ``unit``.

    ``source`` names the place: a line of the client's files, a statement, a file of the server, or
    ``default``. ``text`` is the value as that place has it. ``client`` says that it is the client's
    own.
    """

    name: str
    value: Scalar
    unit: str
    text: str
    source: str
    client: bool = False

    @property
    def number(self) -> float:
        """The value of a parameter that counts something."""
        return float(self.value) if isinstance(self.value, int | float) else 0.0

    @property
    def shown(self) -> str:
        """The value as a person reads it: with its unit, unless the text has one already."""
        if not self.unit or not re.fullmatch(r"[1-9]\d*", self.text):
            return self.text
        if self.unit in _MILLISECONDS:
            return duration(self.number * _MILLISECONDS[self.unit])
        return size(self.number * _KILOBYTES[self.unit])

    def __str__(self) -> str:
        return f"{self.name} = {self.shown} ({self.source})"


def reading(name: str, text: str, source: str, *, client: bool = False) -> Reading:
    """Return what the server reads from a text that some place gives for a parameter."""
    parameter = parameters.find(name)
    unit = parameter.unit if parameter else ""
    return Reading(name, parameters.meant(name, text), unit, text, source, client)


def place(row: Row) -> str:
    """Return where a row of pg_settings has its value from: file and line where they are shown."""
    if row["sourcefile"]:
        return f"{row['sourcefile']}:{row['sourceline']}"
    return str(row["source"])


def moment(text: str) -> dt.datetime:
    """Return the time that PostgreSQL wrote as JSON. Python 3.10 reads three or six digits after
    the point, and PostgreSQL leaves out the last zeros.
    """
    return dt.datetime.fromisoformat(re.sub(r"\.(\d+)", lambda m: f".{m[1]:0<6}", text))


def duration(milliseconds: float) -> str:
    """Return a duration as PostgreSQL writes it: ``1500ms``, ``30s``, ``5min``, ``2h``."""
    for size, unit in ((3_600_000, "h"), (60_000, "min"), (1000, "s")):
        if milliseconds >= size and milliseconds % size == 0:
            return f"{milliseconds / size:g}{unit}"
    return f"{milliseconds:g}ms"


def size(kilobytes: float) -> str:
    """Return an amount of memory as PostgreSQL writes it: ``64MB``, ``4GB``."""
    for step, unit in ((1024 * 1024, "GB"), (1024, "MB")):
        if kilobytes >= step and kilobytes % step == 0:
            return f"{kilobytes / step:g}{unit}"
    return f"{kilobytes:.0f}kB"
