"""Which connection of an environment a command is about, and which settings belong to it."""

from __future__ import annotations

from dataclasses import replace

from pgstrata.errors import UsageError
from pgstrata.model import Config, Setting
from pgstrata.schema.keys import SECTIONS, TABLES
from pgstrata.schema.suggest import closest

KEYS = [  # of all sections, and the sections themselves, in the order of the schema
    key
    for section in SECTIONS.values()
    for key in (
        section.name,
        *(f"{section.name}.{name}" for name in TABLES.get(section.shape, ())),
    )
]
_RANK = {key: rank for rank, key in enumerate(KEYS)}


def connection_of(config: Config, said: str | None) -> str:
    """Return the connection that is meant: the one that was named, or the top-level one.

    Raises ``UsageError`` where the environment has no such connection.
    """
    there = config.connections
    name = said or "default"
    if name in there:
        return name
    problem = f"no connection {name!r}" if said else "the top-level sections name no server"
    guess = closest(name, there)
    hint = f"did you mean {guess!r}?" if guess else f"--connection is one of {', '.join(there)}"
    raise UsageError(f"environment {config.environment!r}: {problem}", hint=hint)


def settings_of(config: Config, connection: str) -> list[Setting]:
    """Return the environment's own settings and those of one connection, without its prefix, in
    the order of the schema.
    """
    target = config.connection(connection)
    shared = [
        setting
        for key, setting in config.settings.items()
        if key not in target and not key.startswith("connections.") and "_settings." not in key
    ]
    everything = shared + [replace(setting, key=key) for key, setting in target.items()]
    return sorted(everything, key=_rank)


def _rank(setting: Setting) -> tuple[int, int]:
    """Return the place of the section, then that of the key; an unlisted one comes at the end."""
    section = setting.key.partition(".")[0]
    return _RANK[section], _RANK.get(setting.key, len(_RANK))
