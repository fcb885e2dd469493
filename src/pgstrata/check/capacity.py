"""Capacity: whether a server admits as many connections as the declared services may open."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from pgstrata.capacity import Demand, declared, demands
from pgstrata.check.scope import Connection, Found, Project, Rule, Unknown
from pgstrata.model import Config

Server: TypeAlias = tuple[str, str]  # host and port

_CHOSEN: Server = ("", "")  # by libpq or a service file


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
    asked = demands(config)
    if not asked:
        yield Unknown(config.environment, "no services are declared")
    for users, servers in _servers(asked, there).items():
        yield from _server(config, servers, users, there)


def _servers(
    asked: Iterable[Demand], there: Mapping[str, Connection]
) -> dict[tuple[Demand, ...], list[Server]]:
    """Return what may all be open on one server, with the servers of which that is so: of several
    hosts each may get all connections, as after a failover.
    """
    users: dict[Server, list[Demand]] = {}
    for demand in asked:
        targets = [(host, port) for host, port, _ in there[demand.connection].targets]
        for server in dict.fromkeys(targets or [_CHOSEN]):
            users.setdefault(server, []).append(demand)
    alike: dict[tuple[Demand, ...], list[Server]] = {}
    for server, demanded in users.items():
        alike.setdefault(tuple(demanded), []).append(server)
    return alike


def _server(
    config: Config,
    servers: Iterable[Server],
    users: Iterable[Demand],
    there: Mapping[str, Connection],
) -> Iterator[Found | Unknown]:
    connections = [there[demand.connection] for demand in users]
    limits = [
        (limit, connection)
        for connection in connections
        if isinstance(limit := connection.value("connection_limit"), int)
    ]
    places = [f"{host}:{port}" for host, port in servers if (host, port) != _CHOSEN]
    name = ",".join(places) or "the server"
    if not limits:
        yield Unknown(config.environment, f"no connection_limit is declared for {name}")
        return
    limit, connection = min(limits, key=lambda pair: pair[0])
    most = sum(demand.most for demand in users)
    if most > limit:
        parts = " + ".join(f"{demand.most} {demand.service}" for demand in users)
        yield connection.found(
            "connection_limit",
            f"{name} admits {limit} connections, and the services may open {most}: {parts}",
            hint="make pools smaller, run fewer processes, or put a pooler between",
        )


def invalid(project: Project) -> Iterator[Found]:
    """Find services that cannot be read."""
    for config in project.configs:
        for entry in declared(config):
            if entry.problem:
                yield Found(config.environment, entry.problem, entry.origin, "services")


RULES = (
    Rule(
        "too-many-connections",
        "error",
        exceeded,
        what="The `services` may together open more connections to a server, also if it is one of"
        " several hosts, than its `connection_limit`: (replicas + surge) * processes * the sum of"
        " their pools. Not checked where either is not declared.",
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
