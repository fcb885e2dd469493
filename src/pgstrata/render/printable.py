"""Text of files and servers, as a terminal may get it."""

from __future__ import annotations


def printable(text: str) -> str:
    """Escape line ends, and whatever else would make a terminal do something."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
