"""PostgreSQL's regular expressions, as far as Python's mean the same.

https://www.postgresql.org/docs/current/functions-matching.html#POSIX-SYNTAX-DETAILS
"""

from __future__ import annotations

import re
from itertools import pairwise

from pgstrata.audit.hba.answer import Answer

# What means the same on both sides. The rest is left to the server: [[:alpha:]], back references,
# (?...), look-around, and two quantifiers in a row, which Python takes for a possessive one.
_PARTS = re.compile(
    r"""
    (?P<atom> [A-Za-z0-9_\ ,:;@#%&~'"<>=!/-] | \. | \\[dws] | \\[^A-Za-z0-9\s]
            | \[ \^? (?: [A-Za-z0-9_](?:-[A-Za-z0-9])? )+ \] )
  | (?P<quantifier> (?: [*+?] | \{[0-9]{1,2}(?:,[0-9]{0,2})?\} ) \?? )
  | (?P<close> \) )
  | (?P<other> \( (?!\?) | \| | \^ | \$ )
    """,
    re.VERBOSE | re.ASCII,
)
_ASCII = re.compile(r"[ -~]*")


def search(pattern: str, text: str) -> Answer:
    """Tell whether the server finds ``pattern`` in ``text``, in collation "C"."""
    translated = _translate(pattern)
    if translated is None or not _ASCII.fullmatch(text):
        return f"only the server can tell whether {text!r} matches /{pattern}"
    return translated.search(text) is not None


def _translate(pattern: str) -> re.Pattern[str] | None:
    parts = list(_PARTS.finditer(pattern))
    kinds = ["other", *(part.lastgroup for part in parts)]
    covered = sum(len(part[0]) for part in parts) == len(pattern)
    loose = any(
        after == "quantifier" and before not in ("atom", "close")
        for before, after in pairwise(kinds)
    )
    if not covered or loose:
        return None
    # Python's $ also matches before a line feed at the end.
    same = "".join(r"\Z" if part[0] == "$" else part[0] for part in parts)
    try:
        return re.compile(same, re.ASCII | re.DOTALL)
    except re.error:
        return None
