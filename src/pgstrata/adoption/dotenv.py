"""Assignments of variables, as a dotenv file has them."""

from __future__ import annotations

import re

_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*")


def assignments(text: str) -> dict[str, str]:
    """Return the ``NAME=value`` lines of a text; of two for one name the last, as in a shell.

    Quotes are taken off; in double ones a backslash escapes the next character, or is a newline's.
    """
    matches = (_ASSIGNMENT.fullmatch(line) for line in text.splitlines())
    return {match[1]: _unquoted(match[2]) for match in matches if match}


def _unquoted(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1]
    if len(text) > 1 and text[0] == text[-1] == '"':
        return re.sub(r"\\(.)", lambda match: {"n": "\n"}.get(match[1], match[1]), text[1:-1])
    return re.sub(r"\s+#.*", "", text)
