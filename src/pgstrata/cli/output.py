"""What reaches the terminal.

The result goes to stdout, everything else to stderr. Talk begins with ``pgstrata:``, is in lower
case and has no full stop. A hint stands on a line of its own. Colour is for findings and
differences only, and only for eyes: never in a pipe, and never where ``NO_COLOR`` (no-color.org)
is set.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, TextIO

import click

from pgstrata.render.printable import printable_lines

if TYPE_CHECKING:
    from pgstrata.model import Finding


def tell(message: str, *, hint: str = "") -> None:
    """Say something that is not the result. What a file or a server brought cannot draw or hide."""
    click.echo(f"pgstrata: {printable_lines(message)}", err=True)
    if hint:
        click.echo(f"hint: {printable_lines(hint)}", err=True)


def print_json(**shape: object) -> None:
    """Print a result as JSON, with the version of its shape. It is ASCII, so any pipe takes it."""
    import json

    click.echo(json.dumps({"schema_version": 1, **shape}, indent=2))


def print_findings(findings: Iterable[Finding], *, err: bool = False) -> None:
    """Print findings, in colour on a terminal."""
    from pgstrata.render import findings as render

    colour = has_colour(sys.stderr if err else sys.stdout)
    click.echo(render.text(findings, colour=colour), err=err)


def has_colour(stream: TextIO | None) -> bool:
    """Whether a stream leads to eyes that want colour."""
    return has_eyes(stream) and not os.environ.get("NO_COLOR")


def has_eyes(stream: TextIO | None) -> bool:
    """Whether a stream leads to a terminal on which something can be drawn and redrawn."""
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def accept_all_characters() -> None:
    """Let stdout and stderr escape what their encoding lacks: a message must not be an error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
