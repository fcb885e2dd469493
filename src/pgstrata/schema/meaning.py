"""What a value means, so that two ways of writing the same compare as equal."""

from __future__ import annotations

from typing import Any

from pgstrata.model import Value
from pgstrata.schema import parameters
from pgstrata.schema.keys import SECTIONS


def meaning(key: str, value: Value) -> Any:
    """Return what ``value`` means under a dotted key; equal for two values that mean the same.

    A session setting is read as the server reads it: ``5s`` is ``5000`` for a timeout, ``1GB`` is
    ``1048576kB``, ``on`` is ``true``. Ports are numbers, and one port for every host is the same as
    that port once. Hosts keep their order, because they are tried in it; names of hosts have no
    case, and paths of Unix sockets have one. Never called with a secret.
    """
    section, _, name = key.removeprefix(_prefix(key)).partition(".")
    if section == "connection_settings" and name == "port":
        return _ports(str(value))
    if section == "connection_settings" and name == "host":
        return tuple(_host(host) for host in str(value).split(","))
    if section in SECTIONS and SECTIONS[section].shape == "parameters":
        return parameters.meant(name, str(value))
    return value


def target_and_key(key: str) -> tuple[str, str]:
    """Split ``connections.<name>.<key>`` into name and key; the name is empty for any other key."""
    prefix = _prefix(key)
    return prefix[len("connections.") : -1], key.removeprefix(prefix)


def _prefix(key: str) -> str:
    if not key.startswith("connections."):
        return ""
    return ".".join(key.split(".", 2)[:2]) + "."


def _ports(text: str) -> tuple[int, ...]:
    ports = tuple(int(port) for port in text.split(","))
    return ports[:1] if len(set(ports)) == 1 else ports


def _host(host: str) -> str:
    return host if host.startswith(("/", "@")) else host.lower()
