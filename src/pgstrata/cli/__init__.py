"""The command line: one file for each command, and what they share."""

from pgstrata.cli.group import main

__all__ = ["main"]
