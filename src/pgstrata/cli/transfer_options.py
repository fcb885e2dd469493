"""Options that ``import``, ``export`` and ``copy`` share, and how lists and pairs are typed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from pgstrata.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])

_ONE = r"""\s*(?:"((?:[^"]|"")+)"|([^",\s](?:[^",]*[^",\s])?))\s*"""
_NAME, _NAMES = re.compile(_ONE), re.compile(f"{_ONE}(?:,{_ONE})*")
COMPRESSIONS = ("auto", "none", "gz", "zst", "xz", "bz2")


def names_of(_context: click.Context, parameter: click.Parameter, text: str | None) -> list[str]:
    """Read a list of names: ``a,b``, with double quotes around one that holds a comma or begins or
    ends with a blank.
    """
    if text is None:
        return []
    if not _NAMES.fullmatch(text):
        raise UsageError(f"{parameter.opts[-1]} has an empty name, or an odd quote, in {text!r}")
    found = (match.groups(default="") for match in _NAME.finditer(text))
    return [quoted.replace('""', '"') or bare for quoted, bare in found]


def pairs_of(
    _context: click.Context, parameter: click.Parameter, texts: Sequence[str]
) -> dict[str, str]:
    """Read ``A=B`` of a repeated option; the last equals sign counts."""
    pairs = {}
    for text in texts:
        left, _, right = text.rpartition("=")
        if not left or not right:
            option = parameter.opts[-1]
            raise UsageError(f"{option} {text!r} is not of the form {parameter.metavar}")
        if left in pairs:  # of two masks the weaker one may not win unseen
            raise UsageError(f"{parameter.opts[-1]} names {left!r} twice")
        pairs[left] = right
    return pairs


def separator_of(
    _context: click.Context, _parameter: click.Parameter, text: str | None
) -> str | None:
    r"""Read a separator; ``tab`` and ``\t`` are what a shell makes hard to type."""
    return "\t" if text in ("tab", "\\t") else text


_WRITING = (
    click.option(
        "--truncate", is_flag=True, help="Empty the table first, in the same transaction."
    ),
    click.option(
        "--replace", is_flag=True, help="Like --truncate; until then others read the old rows."
    ),
    click.option("--upsert", metavar="KEY", callback=names_of, help="Update the rows that exist."),
    click.option(
        "--on-conflict",
        type=click.Choice(("error", "skip", "update")),
        help="What to do with a row that exists [error].",
    ),
    click.option(
        "--key", metavar="A,B", callback=names_of, help="What rows exist by [the primary key]."
    ),
    click.option(
        "--sync-sequences", is_flag=True, help="Let identities go on behind what was loaded."
    ),
    click.option("--dry-run", is_flag=True, help="Do everything but commit."),
    click.option("--yes-protected", metavar="ENV", help="Write into this protected environment."),
)


def writing(command: Command) -> Command:
    """Add how rows meet those that are in the table, and the leave to write at all."""
    for option in reversed(_WRITING):
        command = option(command)
    return command


def meeting(
    *, truncate: bool, replace: bool, upsert: list[str], on_conflict: str | None, key: list[str]
) -> dict[str, Any]:
    """Return ``mode``, ``on_conflict`` and ``key`` for the library.

    Raises ``UsageError`` for options that exclude each other.
    """
    if truncate and replace:
        raise UsageError("--truncate and --replace exclude each other")
    if upsert and (key or on_conflict not in (None, "update")):
        raise UsageError("--upsert KEY is --on-conflict update --key KEY")
    return {
        "mode": "truncate" if truncate else "replace" if replace else "append",
        "on_conflict": "update" if upsert else on_conflict or "error",
        "key": upsert or key,
    }
