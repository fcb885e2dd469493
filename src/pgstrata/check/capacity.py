"""Capacity: whether a server admits as many connections as the declared services may open.

A service opens, at worst, (replicas + surge) * processes * the sum of its pools; a type without a
pool counts as one connection.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from pgstrata.check.scope import POOL_SECTIONS, Connection, Found, Project, Rule, Unknown
from pgstrata.model import Config, Origin
from pgstrata.schema.keys import CONNECTION_TYPES
from pgstrata.schema.suggest import closest

Server: TypeAlias = tuple[tuple[str, str], ...]

_COUNTS = {"processes": 1, "replicas": 1, "surge": 0}
_KEYS = ("name", *_COUNTS, "connection", "types")


@dataclass(frozen=True, slots=True)
class Service:
    """One declared program: how often it runs, and what each process opens."""

    name: str
    processes: int
    replicas: int
    surge: int
    connection: str
    types: tuple[str, ...]

    def connections(self, connection: Connection) -> int:
        """Return how many connections it opens at worst."""
        types = self.types or (str(connection.value("connection_type")),)
        each = sum(_size(connection, kind) for kind in types)
        return (self.replicas + self.surge) * self.processes * each


def exceeded(project: Project) -> Iterator[Found | Unknown]:
    """Find servers that the declared services may ask for too many connections."""
    by_environment: dict[str, dict[str, Connection]] = {}
    for connection in project.connections:
        by_environment.setdefault(connection.environment, {})[connection.name] = connection
    for config in project.configs:
        there = by_environment[config.environment]
        if not all(connection.local for connection in there.values()):
            yield from _environment(config, there)


def _environment(config: Config, there: Mapping[str, Connection]) -> Iterator[Found | Unknown]:
    services = [service for _, service, _ in _read(config) if service]
    if not services:
        yield Unknown(config.environment, "no services are declared")
    servers: dict[Server, list[tuple[Service, Connection]]] = {}
    for service in services:
        if connection := there.get(service.connection):
            server = tuple((host, port) for host, port, _ in connection.targets)
            servers.setdefault(server, []).append((service, connection))
    for server, users in servers.items():
        yield from _server(config, server, users)


def _server(
    config: Config, server: Server, users: list[tuple[Service, Connection]]
) -> Iterator[Found | Unknown]:
    limits = [
        (limit, connection)
        for _, connection in users
        if isinstance(limit := connection.value("connection_limit"), int)
    ]
    name = ",".join(f"{host}:{port}" for host, port in server) or "the server"
    if not limits:
        yield Unknown(config.environment, f"no connection_limit is declared for {name}")
        return
    limit, connection = min(limits, key=lambda pair: pair[0])
    counts = {service.name: service.connections(of) for service, of in users}
    if sum(counts.values()) > limit:
        parts = " + ".join(f"{count} {name}" for name, count in counts.items())
        yield connection.found(
            "connection_limit",
            f"{name} admits {limit} connections, and the services may open"
            f" {sum(counts.values())}: {parts}",
            hint="make pools smaller, run fewer processes, or put a pooler between",
        )


def invalid(project: Project) -> Iterator[Found]:
    """Find services that cannot be read."""
    for config in project.configs:
        for origin, _, problem in _read(config):
            if problem:
                yield Found(config.environment, problem, origin, "services")


def _read(config: Config) -> Iterator[tuple[Origin, Service | None, str]]:
    """Yield each service, or what is wrong with it."""
    setting = config.settings.get("services")
    if setting is None or not isinstance(setting.value, tuple):
        return
    for number, item in enumerate(setting.value, 1):
        problem = _problem(config, item)
        service = None if problem else _service(item)
        yield setting.origin, service, f"service {number}: {problem}" if problem else ""


def _problem(config: Config, item: Any) -> str:
    if not isinstance(item, dict) or not item.get("name"):
        return "must be a map with a name"
    if unknown := [key for key in item if key not in _KEYS]:
        guess = closest(unknown[0], _KEYS)
        return f"has no key {unknown[0]!r}" + (f"; did you mean {guess!r}?" if guess else "")
    for key in _COUNTS:
        if key in item and not str(item[key]).isdecimal():
            return f"{key} must be a whole number"
    connection = item.get("connection") or "default"
    if connection not in config.connections:
        return f"there is no connection {connection!r}"
    wrong = [kind for kind in _types(item) if kind not in CONNECTION_TYPES]
    return f"{wrong[0]!r} is not one of {', '.join(CONNECTION_TYPES)}" if wrong else ""


def _service(item: dict[str, Any]) -> Service:
    counts = {key: int(item.get(key, default)) for key, default in _COUNTS.items()}
    connection = item.get("connection") or "default"
    return Service(item["name"], connection=connection, types=_types(item), **counts)


def _types(item: dict[str, Any]) -> tuple[str, ...]:
    types = item.get("types") or ()
    return (types,) if isinstance(types, str) else tuple(types)


def _size(connection: Connection, kind: str) -> int:
    section = POOL_SECTIONS.get(kind)
    if section is None:
        return 1
    size = connection.value(f"{section}.max_size") or connection.value(f"{section}.min_size")
    return size if isinstance(size, int) else 1


RULES = (
    Rule(
        "too-many-connections",
        "error",
        exceeded,
        what="The `services` may together open more connections to a server than its"
        " `connection_limit`: (replicas + surge) * processes * the sum of their pools. Not checked"
        " where either is not declared.",
        why="The server refuses whoever comes last, most likely during a deployment, when old and"
        " new replicas run side by side.",
        remedy="Make pools smaller, run fewer processes, or put a pooler between. Leave some"
        " connections to people and to backups.",
    ),
    Rule(
        "invalid-service",
        "error",
        invalid,
        what="An entry of `services` cannot be read. It has `name`, and may have `processes` and"
        " `replicas` (1), `surge` (0), `connection` (the top-level one) and `types` (the"
        " connection's own).",
        why="It would not be counted.",
        remedy="Correct the entry.",
    ),
)
