"""What a check looks at: one client's connection beside what was seen of one of its servers."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from pgstrata.audit.model import Gap, Row, Snapshot, UnreadError
from pgstrata.audit.reading import OWN_SOURCES, Reading, place, reading
from pgstrata.audit.wire.handshake import Handshake
from pgstrata.audit.wire.probe import Probe
from pgstrata.capacity import Demand, declared, demands
from pgstrata.check.scope import Connection, is_remote
from pgstrata.model import Value
from pgstrata.schema.keys import SYNC_TYPES
from pgstrata.secrets.redact import REDACTED
from pgstrata.statements import identifier

# pg_settings leaves these rows out for who is not in pg_read_all_settings, so that absent means
# hidden, not missing.
_HIDDEN = """
config_file data_directory dynamic_library_path external_pid_file hba_file ident_file jit_provider
krb_server_keyfile log_directory log_filename primary_conninfo session_preload_libraries
shared_preload_libraries ssl_ciphers ssl_dh_params_file ssl_ecdh_curve ssl_groups
ssl_max_protocol_version ssl_min_protocol_version ssl_passphrase_command unix_socket_directories
ssl_tls13_ciphers oauth_validator_libraries extension_control_path
"""
HIDDEN_SETTINGS = frozenset(_HIDDEN.split())
ALL_SETTINGS = "GRANT pg_read_all_settings TO {viewer};"
_POOLED = ("transaction", "pgbouncer")  # keep no session settings from one transaction to the next
_OPTION = re.compile(r"(?:-c\s*|--)([\w.-]+)=((?:\\.|\S)*)")


@dataclass(frozen=True)
class View:
    """One endpoint of one connection: what the client wants and what was seen.

    Each look at something that nobody could read raises ``UnreadError``, which makes the check's
    answer ``unknown``: a check need not think of privileges. A check that has nothing to judge,
    because the client does not use what it is about, or nobody has described the machine, returns
    no outcome.
    """

    client: Connection
    snapshot: Snapshot
    beside: tuple[View, ...] = ()  # endpoints of other connections that are the same server

    # What was seen.

    def rows(self, fact: str) -> tuple[Row, ...]:
        """Return the rows of a fact. Raises ``UnreadError``."""
        found = self.snapshot.facts.get(fact)
        if found is None:
            default = Gap(self.snapshot.error or f"{fact} was not looked at")
            raise UnreadError(self.snapshot.gaps.get(fact, default))
        return found

    def row(self, fact: str) -> Row:
        """Return the only row of a fact. Raises ``UnreadError``."""
        rows = self.rows(fact)
        if not rows:
            raise UnreadError(Gap(f"{fact} returned no row"))
        return rows[0]

    @cached_property
    def version(self) -> int:
        """The server's major version. Raises ``UnreadError``."""
        return int(self.row("caps")["version_num"]) // 10000

    @cached_property
    def in_recovery(self) -> bool:
        """Whether the server is a standby. Raises ``UnreadError``."""
        return bool(self.row("identity")["in_recovery"])

    @cached_property
    def settings(self) -> Mapping[str, Row]:
        """The visible rows of pg_settings by name. Raises ``UnreadError``."""
        return {row["name"]: row for row in self.rows("settings")}

    def setting(self, name: str) -> Row:
        """Return the row of a parameter as the server has it. Raises ``UnreadError``."""
        row = self.settings.get(name)
        if row is not None:
            return row
        if self.lacks(name):
            raise UnreadError(Gap(f"PostgreSQL {self.version} has no {name}"))
        grant = ALL_SETTINGS.format(viewer=self.viewer)
        raise UnreadError(Gap(f"{name} is shown to members of pg_read_all_settings", grant))

    def server(self, name: str) -> Reading:
        """Return a parameter as the server's files have it. Raises ``UnreadError``."""
        row = self.setting(name)
        own = row["source"] in OWN_SOURCES
        if own and self.snapshot.viewer != self.user:
            raise UnreadError(Gap(f"{name} of {self.snapshot.viewer} hides that of the server"))
        text = str(row["reset_val"] if own else row["setting"])
        return _kept(reading(name, text, "the server" if own else place(row)))

    def count(self, name: str) -> int:
        """Return a parameter of the server that counts something. Raises ``UnreadError``."""
        return int(self.server(name).number)

    def lacks(self, name: str) -> bool:
        """Whether this version has no such parameter, as far as its absence proves that. Raises
        ``UnreadError``.
        """
        hidden = name in HIDDEN_SETTINGS and not self.row("caps")["all_settings"]
        return name not in self.settings and not hidden

    def has(self, name: str) -> bool:
        """Whether this version has a parameter that anybody may see. Raises ``UnreadError``."""
        return name in self.settings

    @cached_property
    def now(self) -> dt.datetime:
        """When the endpoint was looked at."""
        return dt.datetime.fromisoformat(self.snapshot.taken)

    @cached_property
    def probes(self) -> Mapping[str, Probe]:
        """What the server asks of the program's user, by transport. Raises ``UnreadError``."""
        found = self.snapshot.probe
        if found is None:
            raise UnreadError(self.snapshot.gaps.get("probe", Gap("the server was not probed")))
        return {transport: Probe.from_json(data) for transport, data in found.items()}

    @cached_property
    def handshake(self) -> Handshake:
        """What came of a TLS handshake with the client's files. Raises ``UnreadError``."""
        found = self.snapshot.handshake
        if found is None:
            raise UnreadError(self.snapshot.gaps.get("probe", Gap("no handshake was made")))
        return Handshake.from_json(found)

    # What the client wants.

    @cached_property
    def viewer(self) -> str:
        """The role that looked, as SQL takes its name."""
        return identifier(self.snapshot.viewer)

    @cached_property
    def user(self) -> str:
        """The role that the program logs in as. Where none is configured it is the one that looked,
        and so it is of an embedded server, which says by itself who logs in.
        """
        said = "" if self.client.local else self.client.keyword("user")
        return str(said or self.snapshot.viewer)

    @property
    def connection(self) -> tuple[str, str]:
        """The environment and the name of the connection."""
        return self.client.environment, self.client.name

    @cached_property
    def dbname(self) -> str:
        """The database of the program. Raises ``UnreadError`` where only the server knows."""
        return str(self.client.keyword("dbname") or self.row("caps")["dbname"])

    @cached_property
    def tcp(self) -> bool:
        """Whether the endpoint is reached over TCP, and not over a Unix socket."""
        return self.snapshot.host[:1] not in ("/", "@", "")

    @cached_property
    def remote(self) -> bool:
        """Whether the endpoint is another machine."""
        return self.tcp and is_remote(self.snapshot.host)

    @cached_property
    def sslmode(self) -> str:
        """The client's sslmode, or libpq's default, which goes by ``sslrootcert``."""
        default = "verify-full" if self.client.keyword("sslrootcert") == "system" else "prefer"
        return str(self.client.keyword("sslmode") or default)

    @cached_property
    def pooled(self) -> bool:
        """Whether the client says that a pooler stands between that keeps no session."""
        return self.client.value("pooler") in _POOLED

    @cached_property
    def prepares(self) -> bool:
        """Whether the client prepares what it runs often: as it says, or where it can."""
        said = self.client.keyword("prepared_statements")
        return bool(said) if said is not None else not self.pooled

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """The connection types that are used: by services, by default, or by a configured pool."""
        services = (entry.service for entry in declared(self.client.config) if entry.service)
        said = [kind for it in services if it.connection == self.client.name for kind in it.types]
        pools = [kind for kind, _ in self.client.pools()]
        return tuple(dict.fromkeys([str(self.client.value("connection_type")), *said, *pools]))

    @cached_property
    def session_kinds(self) -> tuple[str, ...]:
        """One of the connection types for each way in which their sessions differ: what
        sync_settings and async_settings add.
        """
        sections = ("sync_settings.", "async_settings.")
        own = any(key.startswith(sections) for key in self.client.settings)
        halves = {kind in SYNC_TYPES: kind for kind in reversed(self.kinds)}
        return tuple(kind for kind in self.kinds if kind in halves.values())[: None if own else 1]

    def declared(self, name: str) -> Any:
        """Return a fact of the ``server`` section. Raises ``UnreadError`` where it is not there."""
        value = self.client.value(f"server.{name}")
        if value is None:
            raise UnreadError(Gap(f"server.{name} is not declared"))
        return value

    @cached_property
    def demands(self) -> tuple[Demand, ...]:
        """What the declared services ask of this server: those of the environment, and those of
        other environments that are on the same one. Raises ``UnreadError`` without any.
        """
        here = self.client.environment
        found: dict[tuple[str, str, str], Demand] = {}
        for view in (self, *self._sharing()):
            name = view.client.environment
            for demand in view.own_demands:
                service = demand.service if name == here else f"{demand.service} of {name}"
                key = (name, demand.service, demand.connection)
                found.setdefault(key, replace(demand, service=service))
        return tuple(found.values())

    def _sharing(self) -> Iterator[View]:
        """Yield the endpoints whose clients take the same slots: a pooler has its own."""
        for view in self.beside if not self.client.value("pooler") else ():
            if demands(view.client.config) and not view.client.value("pooler"):
                yield view

    @cached_property
    def own_demands(self) -> tuple[Demand, ...]:
        """What the environment's services ask of this endpoint. Raises ``UnreadError`` without any
        services.
        """
        found = demands(self.client.config)
        if not found:
            raise UnreadError(Gap("no services are declared"))
        here = set(self._connections_here())
        return tuple(demand for demand in found if demand.connection in here)

    @cached_property
    def demand(self) -> int:
        """The most connections that the services open to this endpoint. Raises ``UnreadError``."""
        return sum(demand.most for demand in self.demands)

    def _connections_here(self) -> Iterator[str]:
        config, own = self.client.config, self.client
        for name in config.connections:
            other = Connection(config, name, config.connection(name))
            if name == own.name or {t[:2] for t in other.targets} & {t[:2] for t in own.targets}:
                yield name

    # What a session of the program has.

    def wanted(self, name: str, kind: str = "") -> Reading | None:
        """Return a parameter that the client itself gives a session of a connection type."""
        lower = name.lower()  # as keys are kept, and as the server compares them
        key = f"{self.section(name, kind)}.{lower}"
        if (value := self.client.value(key)) is not None:
            return self._said(key, name, value)
        for option, text in _OPTION.findall(str(self.client.keyword("options") or "")):
            if option.replace("-", "_").lower() == lower:
                return self._said(
                    "connection_settings.options", name, re.sub(r"\\(.)", r"\1", text)
                )
        return None

    def section(self, name: str, kind: str = "") -> str:
        """Return the section that gives a parameter to sessions of a connection type, or would."""
        own = "sync_settings" if (kind or self.kinds[0]) in SYNC_TYPES else "async_settings"
        there = self.client.value(f"{own}.{name.lower()}") is not None
        return own if there else "session_settings"

    def _said(self, key: str, name: str, value: Value) -> Reading:
        return reading(name, str(value), str(self.client.place(key)), client=True)

    def session(self, name: str, kind: str = "") -> Reading:
        """Return a parameter as the program's session of a connection type has it.

        Behind a pooler that keeps no session, the client's own settings do not count. Raises
        ``UnreadError``.
        """
        wanted = None if self.pooled else self.wanted(name, kind)
        return wanted or self.altered(name) or self.server(name)

    def altered(self, name: str) -> Reading | None:
        """Return what ALTER ROLE and ALTER DATABASE give the program. Raises ``UnreadError``."""
        said = {
            (row["rolname"], row["datname"]): row["value"]
            for row in self.rows("role_settings")
            if row["name"].lower() == name.lower()
        }
        user, dbname = self.user, self.dbname
        for scope, statement in {
            (user, dbname): f"ALTER ROLE {user} IN DATABASE {dbname}",
            (user, ""): f"ALTER ROLE {user}",
            ("", dbname): f"ALTER DATABASE {dbname}",
            ("", ""): "ALTER ROLE ALL",
        }.items():
            if scope in said:
                return _kept(reading(name, said[scope], statement))
        return None


def _kept(said: Reading) -> Reading:
    """Return a reading. Raises ``UnreadError`` where it is the mask of what was not kept."""
    if said.text == REDACTED:
        raise UnreadError(Gap(f"the value of {said.name} is not kept: it may hold a secret"))
    return said


@dataclass(frozen=True)
class Fleet:
    """All endpoints that are looked at together: iterated over are those that could be reached."""

    views: tuple[View, ...]

    def __iter__(self) -> Iterator[View]:
        return (view for view in self.views if not view.snapshot.error)

    def by_connection(self) -> Iterator[tuple[View, ...]]:
        """Yield the endpoints of each connection of each environment, in their order."""
        found: dict[tuple[str, str], list[View]] = {}
        for view in self:
            found.setdefault(view.connection, []).append(view)
        yield from map(tuple, found.values())

    def unreached(self, view: View) -> tuple[View, ...]:
        """Return the endpoints of a view's connection that could not be reached."""
        return tuple(
            other
            for other in self.views
            if other.snapshot.error and other.connection == view.connection
        )

    def by_cluster(self) -> Mapping[str, tuple[View, ...]]:
        """Return the endpoints that could be looked at by the cluster they belong to: a primary and
        its standbys have one identifier.
        """
        found: dict[str, list[View]] = {}
        for view in self:
            if control := view.snapshot.facts.get("control"):
                found.setdefault(str(control[0]["system_identifier"]), []).append(view)
        return {name: tuple(views) for name, views in found.items()}


def fleet(views: Iterable[View]) -> Fleet:
    """Return endpoints as one fleet, each with those beside it."""
    views = tuple(views)
    servers: dict[str, list[View]] = {}
    for view in views:
        servers.setdefault(_server(view), []).append(view)
    return Fleet(tuple(replace(view, beside=_beside(view, servers)) for view in views))


def _beside(view: View, servers: Mapping[str, list[View]]) -> tuple[View, ...]:
    there = servers[_server(view)] if _server(view) else ()
    return tuple(other for other in there if other.connection != view.connection)


def _server(view: View) -> str:
    """Return what tells a server from others, whatever names lead to it: the microsecond of its
    start. A primary and its standbys have one cluster, and slots of their own.
    """
    rows = view.snapshot.facts.get("identity", ())
    return str(rows[0].get("started", "")) if rows else ""
