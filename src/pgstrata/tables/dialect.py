"""How a CSV file is written: its dialect as PostgreSQL reads it, and how to find it out."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from pgstrata.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

Newline: TypeAlias = Literal["\n", "\r\n", "\r"]

DELIMITERS = (",", ";", "\t", "|")
LOOKED_AT = 100  # records; enough to tell a delimiter from a comma in a text
AGREEING = 0.9  # of the records must have the usual number of fields: a few may be bad rows


@dataclass(frozen=True, slots=True)
class Dialect:
    """Three separators of one ASCII character each, and the unquoted text of NULL."""

    delimiter: str = ","
    quote: str = '"'
    escape: str = '"'
    null: str = ""
    newline: Newline = "\n"

    def __post_init__(self) -> None:
        for name in ("delimiter", "quote", "escape"):
            value = getattr(self, name)
            if len(value) != 1 or not value.isascii() or value in "\r\n\0":
                raise UsageError(
                    f"{name} {value!r} is not one ASCII character",
                    hint="PostgreSQL reads CSV with one-byte separators only",
                )
        if self.delimiter in (self.quote, self.escape):
            raise UsageError(f"delimiter and quote are both {self.delimiter!r}")


def split(record: str, dialect: Dialect) -> list[str | None]:
    """Return the fields of one record as the server would read them; None is NULL.

    A quote toggles wherever it stands, also in the middle of a field: the server does that,
    Python's csv module does not.
    """
    text = record if _open(record, dialect) else record.rstrip("\r\n")
    return (_split_doubled if dialect.escape == dialect.quote else _split_escaped)(text, dialect)


def _split_doubled(record: str, dialect: Dialect) -> list[str | None]:
    """Split where a quote is written by doubling it, going from quote to quote."""
    fields: list[str | None] = []
    field, quoted = "", False
    parts = record.split(dialect.quote)
    for place, part in enumerate(parts):
        if place & 1:
            field, quoted = field + part, True
        elif not part and 0 < place < len(parts) - 1:
            field += dialect.quote
        else:
            first, *others = part.split(dialect.delimiter)
            field += first
            for other in others:
                fields.append(_field(field, dialect, quoted=quoted))
                field, quoted = other, False
    fields.append(_field(field, dialect, quoted=quoted))
    return fields


def _split_escaped(record: str, dialect: Dialect) -> list[str | None]:
    """Split where another character stands before a quote, going by the character."""
    fields: list[str | None] = []
    text: list[str] = []
    quoted = inside = False
    characters = iter(record)
    for character in characters:
        if inside and character == dialect.escape:
            following = next(characters, "")
            if following in (dialect.quote, dialect.escape) and following:
                text.append(following)
                continue
            text.append(character + following)
            continue
        if character == dialect.quote:
            quoted, inside = True, not inside
        elif character == dialect.delimiter and not inside:
            fields.append(_field("".join(text), dialect, quoted=quoted))
            text, quoted = [], False
        else:
            text.append(character)
    fields.append(_field("".join(text), dialect, quoted=quoted))
    return fields


def guess_quote(sample: str) -> str:
    """Return ``'`` if single quotes stand only around fields, and there is no double quote.

    Each that is opened must be closed on its line: ``'s-Hertogenbosch,NL`` is a name, and would
    swallow the records up to the next one.
    """
    lines = sample[: sample.rfind("\n") + 1] or sample  # the last may be cut off
    if '"' in lines or "'" not in lines:
        return '"'
    quoted = re.compile(r"(?:^|(?<=[,;\t|]))'(?:[^'\r\n]|'')*'(?=[,;\t|\r\n]|$)", re.MULTILINE)
    bare, fields = quoted.subn("", lines)
    return "'" if fields and "'" not in bare else '"'


def guess_delimiter(records: Sequence[str], dialect: Dialect, names: Sequence[str]) -> str | None:
    """Return the delimiter that makes the first records a table, or None if no candidate does.

    ``names`` are the columns of the table: the delimiter under which the header names most of them
    wins, then the one under which the records agree best.
    """
    known = {name.lower() for name in names}
    best, best_score = None, (0, 0.0)
    for delimiter in DELIMITERS:
        counted = [split(r, replace(dialect, delimiter=delimiter)) for r in records[:LOOKED_AT]]
        fields, agreeing = Counter(map(len, counted)).most_common(1)[0]
        hits = sum((field or "").strip().lower() in known for field in counted[0])
        whole = fields > 1 and len(counted[0]) > 1  # under one name stands one column, of any text
        agreement = agreeing / len(counted) if whole else 0.0
        if agreement < AGREEING and (hits < 2 or len(counted[0]) < 2):  # noqa: PLR2004  # two names
            continue
        if (hits, agreement) > best_score:
            best, best_score = delimiter, (hits, agreement)
    return best


def _open(record: str, dialect: Dialect) -> bool:
    """Return whether the record ends inside quotes, so that its last newline is data."""
    return bool(record.count(dialect.quote) & 1) and dialect.escape == dialect.quote


def _field(value: str, dialect: Dialect, *, quoted: bool) -> str | None:
    return None if not quoted and value == dialect.null else value
