"""Which connection of an environment a command is about, and which settings belong to it."""

from __future__ import annotations

from dataclasses import replace

from pgstrata.errors import UsageError
from pgstrata.model import Config, Setting
from pgstrata.schema.keys import SECTIONS


def connection_of(config: Config, said: str | None) -> str:
    """Return the connection that is meant: the one that was named, or the top-level one.

    Raises ``UsageError`` where the environment has no such connection.
    """
    there = config.connections
    name = said or "default"
    if name not in there:
        problem = f"no connection {name!r}" if said else "the top-level sections name no server"
        raise UsageError(
            f"environment {config.environment!r}: {problem}",
            hint=f"--connection is one of {', '.join(there)}",
        )
    return name


def settings_of(config: Config, connection: str) -> list[Setting]:
    """Return the environment's own settings and those of one connection, without its prefix."""
    target = config.connection(connection)
    shared = [
        setting
        for key, setting in config.settings.items()
        if key not in target and not key.startswith("connections.") and "_settings." not in key
    ]
    everything = shared + [replace(setting, key=key) for key, setting in target.items()]
    order = list(SECTIONS)
    return sorted(everything, key=lambda setting: order.index(setting.key.partition(".")[0]))
