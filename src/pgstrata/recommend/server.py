"""The servers of an environment, as its connections name them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from textwrap import indent

from pgstrata.check.scope import Connection, is_remote
from pgstrata.model import Config, Origin
from pgstrata.recommend.advice import Missing


@dataclass(frozen=True)
class Server:
    """The connections that lead to one server, or to the hosts of one replicated server."""

    config: Config
    connections: tuple[Connection, ...]

    @property
    def name(self) -> str:
        """The endpoints as they are written, each once."""
        return ", ".join(dict.fromkeys(_endpoints(self.connections)))

    @cached_property
    def direct(self) -> tuple[Connection, ...]:
        """The connections that no pooler stands before: those that the server itself sees."""
        return tuple(c for c in self.connections if c.value("pooler") is None)

    @cached_property
    def pooled(self) -> tuple[Connection, ...]:
        """The connections of which the server sees only the pooler's own."""
        return tuple(c for c in self.connections if c.value("pooler") is not None)

    def declared(self, key: str) -> tuple[object, tuple[Origin, ...]]:
        """Return the first value that a connection has for ``key``, with its place; or None."""
        for connection in self.connections:
            if (value := connection.value(key)) is not None:
                return value, places([connection], key)
        return None, ()

    def undeclared(self, key: str, why: str, example: str) -> Missing:
        """Return the question for what is to be declared once for the server."""
        names = [connection.name for connection in self.connections]
        return undeclared("default" if "default" in names else names[0], key, why, example)


def servers(config: Config) -> tuple[Server, ...]:
    """Return the servers, in the order of their first connections.

    Connections that share an endpoint lead to the same one. All endpoints of this machine with one
    port are the same too, whether by socket or by loopback address.
    """
    groups: list[list[Connection]] = []
    for name in config.connections:
        connection = Connection(config, name, config.connection(name))
        if connection.local:
            continue
        there = _places([connection])
        apart = [group for group in groups if not there & _places(group)]
        met = [member for group in groups if there & _places(group) for member in group]
        groups = [*apart, [*met, connection]]
    groups.sort(key=lambda group: config.connections.index(group[0].name))
    return tuple(Server(config, tuple(group)) for group in groups)


def undeclared(connection: str, key: str, why: str, example: str) -> Missing:
    """Return the question for a key of a connection; ``example`` is the YAML of the top level."""
    if connection == "default":
        return Missing(key, why, example)
    nested = f"connections:\n  {connection}:\n{indent(example, '    ')}"
    return Missing(f"connections.{connection}.{key}", why, nested)


def places(connections: Sequence[Connection], *keys: str) -> tuple[Origin, ...]:
    """Return where each connection says one of the keys, each place once; a default has none."""
    found = (connection.place(*keys) for connection in connections)
    homes = {connection.home for connection in connections}
    return tuple(place for place in dict.fromkeys(found) if place not in homes)


def uses_socket(connection: Connection) -> bool:
    """Whether a connection may go over a Unix socket; without a host it does."""
    if connection.keyword("hostaddr"):
        return False
    return not connection.hosts or any(host.startswith(("/", "@")) for host in connection.hosts)


def tcp_hosts(connection: Connection) -> tuple[str, ...]:
    """Return what is connected to over TCP: addresses where they are given, else names."""
    given = str(connection.keyword("hostaddr") or ",".join(connection.hosts)).split(",")
    return tuple(host for host in map(str.strip, given) if host and not host.startswith(("/", "@")))


def ports(connection: Connection) -> tuple[str, ...]:
    """Return the ports of a connection, each once."""
    return tuple(dict.fromkeys(str(connection.keyword("port") or "5432").split(",")))


def _places(connections: Sequence[Connection]) -> set[tuple[str, str]]:
    """Return host and port of each endpoint, alike for all that are on this machine."""
    found = {(host, port) for c in connections for host, port, _ in c.targets}
    found |= {("", port) for c in connections if not c.hosts for port in ports(c)[:1]}
    return {(host if is_remote(host) else "", port) for host, port in found}


def _endpoints(connections: tuple[Connection, ...]) -> Iterator[str]:
    for connection in connections:
        # As written: a path has upper and lower case, which the hosts of a connection have lost.
        hosts = str(connection.keyword("host") or connection.keyword("hostaddr") or "")
        ports_of = [port for _, port, _ in connection.targets] or list(ports(connection))
        for host, port in zip(map(str.strip, hosts.split(",")), ports_of, strict=False):
            yield f"[{host}]:{port}" if ":" in host else f"{host or 'local socket'}:{port}"
