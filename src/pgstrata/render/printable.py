"""Text of files and servers, as a terminal may get it."""

from __future__ import annotations


def printable_lines(text: str) -> str:
    """Escape all of that but line ends."""
    return "\n".join(map(printable, text.split("\n")))


def printable(text: str) -> str:
    """Escape line ends, and whatever else would make a terminal do something."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
