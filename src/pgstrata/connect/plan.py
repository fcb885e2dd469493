"""All that a handle is made from: what to connect with, and how to pool it."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pgstrata.connect.conninfo import (
    ConnectionType,
    Conninfo,
    checks_on_checkout,
    conninfo,
    leak_threshold,
    pool_options,
)
from pgstrata.model import Config, Secret, Token

# Tells equal literal secrets apart from different ones without keeping them; worthless outside this
# process.
_PROCESS_KEY = secrets.token_bytes(32)


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of one handle. ``key`` is equal for plans of the same connection that lead to the
    same with the same settings; a plan's own stays when one of its secrets changes. ``patience`` is
    how many seconds a pool tries to replace a connection, ``leak_threshold`` how many one may be
    held before that is reported, or None.
    """

    connection_type: ConnectionType
    conninfo: Conninfo
    pool_options: Mapping[str, Any] = field(default_factory=dict)
    check: bool = False
    patience: float = 0.0
    leak_threshold: float | None = None
    key: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", self._key())

    @property
    def name(self) -> str:
        """The name of the pool, or of what is connected to."""
        return str(self.pool_options.get("name", self.conninfo.name))

    @property
    def timeout(self) -> float:
        """How many seconds a caller waits for a connection of the pool."""
        return float(self.pool_options.get("timeout", 0))

    def _key(self) -> str:
        """Return a name for the plan, made with a key that only this process has, so that it tells
        nothing outside.
        """
        made_with = self.conninfo
        parts = (
            (self.connection_type, made_with.name),
            sorted((name, _identity(value)) for name, value in made_with.keywords.items()),
            (made_with.autocommit, made_with.prepare, made_with.session, made_with.local),
            sorted(self.pool_options.items()),
            (self.check, self.patience, self.leak_threshold, made_with.deadline, made_with.pooler),
        )
        return hmac.new(_PROCESS_KEY, repr(parts).encode(), hashlib.sha256).hexdigest()


def plan(config: Config, connection: str, connection_type: ConnectionType) -> Plan:
    """Return the plan for one connection of an environment."""
    made_with = conninfo(config, connection, connection_type, named=True)
    if connection_type in ("normal", "async"):
        return Plan(connection_type, made_with)
    target = config.connection(connection)
    options = {"name": made_with.name, **pool_options(target, connection_type)}
    patience = float(options.pop("reconnect_timeout"))
    checks = checks_on_checkout(target, connection_type)
    watched = leak_threshold(target, connection_type)
    return Plan(connection_type, made_with, options, checks, patience, watched)


def _identity(value: str | Secret) -> str:
    """Return what tells a value from another: for a secret that is looked up, where; for one that
    a function makes, which; for a literal one, its text.
    """
    if not isinstance(value, Secret):
        return value
    if isinstance(value, Token):  # the plan keeps the function, so no other one gets its id
        maker = value.maker
        owner, function = getattr(maker, "__self__", None), getattr(maker, "__func__", maker)
        return f"function {id(function)} of {id(owner)}"
    looked_up = value.source.startswith(("env ", "file ", "sealed ", "keyring "))
    return value.source if looked_up else f"literal {value.reveal()}"
