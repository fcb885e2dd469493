"""``pgstrata secret``: one file for each command."""

from __future__ import annotations

import click

from pgstrata.cli.lazy import LazyGroup

COMMANDS = {
    "values": ("set", "get", "list", "remove", "edit", "rotate", "import"),
    "keys and members": ("keygen", "recipient", "rotate-key"),
    "checks": ("verify", "scan"),
    "without the key, and with git": ("accept", "merge"),
}


@click.group("secret", cls=LazyGroup, package=__name__, sections=COMMANDS)
def command() -> None:
    """Keep passwords in sealed files or the OS keyring, never in clear text."""
