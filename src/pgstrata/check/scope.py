"""What rules look at, and what they say: connections of environments, and what is found in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from pgstrata.capacity import declared
from pgstrata.layers.project import FOLDER
from pgstrata.model import Config, Origin, Secret, Setting, Severity, Value
from pgstrata.schema import parameters
from pgstrata.schema.keys import CONNECTION_TYPES, POOL_SECTIONS, session_sections
from pgstrata.validation import is_local

FILE_LAYERS = ("base", "overlay", "local")
SESSION_SECTIONS = ("session_settings", "sync_settings", "async_settings")
_LOOPBACK = ("localhost", "localhost.localdomain", "::1", "")


@dataclass(frozen=True, slots=True)
class Found:
    """What a rule found in one environment. ``severity`` is said only where it is not the rule's
    own.
    """

    environment: str
    message: str
    origin: Origin
    key: str = ""
    hint: str = ""
    severity: Severity | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """What a rule could not tell, and why: it is neither a finding nor a pass."""

    environment: str
    why: str


@dataclass(frozen=True)
class Connection:
    """One connection of one environment, with its effective settings."""

    config: Config
    name: str
    settings: Mapping[str, Setting]

    @property
    def environment(self) -> str:
        """The name of the environment."""
        return self.config.environment

    @property
    def home(self) -> Origin:
        """The top of the environment's own file: the place of what is missing."""
        return home(self.environment)

    @cached_property
    def local(self) -> bool:
        """Whether it goes to the embedded server."""
        return is_local(self.settings)

    @cached_property
    def protected(self) -> bool:
        """Whether the environment is production-like."""
        return self.config.get("protected") is True

    def value(self, key: str) -> Value:
        """Return the value of a key; None where it is not set, or set to nothing."""
        setting = self.settings.get(key)
        return None if setting is None or _is_nothing(setting.value) else setting.value

    def keyword(self, name: str) -> Value:
        """Return the value of a keyword of ``connection_settings``."""
        return self.value(f"connection_settings.{name}")

    @cached_property
    def hosts(self) -> tuple[str, ...]:
        """The hosts in their order, in lower case; none where libpq or a service chooses."""
        return _each_host(self.keyword("host") or self.keyword("hostaddr"))

    @cached_property
    def addresses(self) -> tuple[str, ...]:
        """What is connected to, for each host: its ``hostaddr``, or else the host itself."""
        given = _each_host(self.keyword("hostaddr")) or self.hosts
        return tuple(one or host for one, host in zip(given, self.hosts, strict=False))

    @cached_property
    def remote(self) -> bool:
        """Whether any host is another machine. One that only a service file names counts as one."""
        elsewhere = any(map(is_remote, self.addresses))
        return not self.local and (elsewhere or self.by_service)

    @cached_property
    def by_service(self) -> bool:
        """Whether the host is in a service file that is not there on this machine."""
        return not self.local and not self.hosts and bool(self.keyword("service"))

    def undecided(self, *keys: str) -> list[Unknown]:
        """Return which of these keys are left to the service file that decides the host."""
        return [
            Unknown(self.environment, f"the service file decides the {key.rpartition('.')[2]}")
            for key in (keys if self.by_service else ())
            if self.value(key) is None
        ]

    @property
    def targets(self) -> tuple[tuple[str, str, str], ...]:
        """Address, port and database, for each host; a port that is not set is 5432."""
        return self._targets(self.addresses)

    @property
    def named_targets(self) -> tuple[tuple[str, str, str], ...]:
        """The same with the host itself, also where it has a ``hostaddr``."""
        return self._targets(self.hosts)

    def _targets(self, hosts: tuple[str, ...]) -> tuple[tuple[str, str, str], ...]:
        ports = str(self.keyword("port") or "5432").split(",")
        dbname = str(self.keyword("dbname") or "")
        if len(ports) == 1:
            ports *= len(hosts)
        return tuple((host, port, dbname) for host, port in zip(hosts, ports, strict=False))

    @cached_property
    def types(self) -> tuple[str, ...]:
        """The connection types in use: the default one, those whose pool is configured, and those
        of the services.
        """
        used = {str(self.value("connection_type"))}
        used.update(kind for kind, section in POOL_SECTIONS.items() if self._configures(section))
        services = [entry.service for entry in declared(self.config) if entry.service]
        used.update(kind for one in services if one.connection == self.name for kind in one.types)
        return tuple(kind for kind in CONNECTION_TYPES if kind in used)

    def pools(self) -> Iterator[tuple[str, str]]:
        """Yield type and section of each pool that is in use."""
        return ((kind, POOL_SECTIONS[kind]) for kind in self.types if kind in POOL_SECTIONS)

    def _configures(self, section: str) -> bool:
        return any(
            setting.origin.layer != "default"
            for key, setting in self.settings.items()
            if key.startswith(f"{section}.")
        )

    def session_keys(self, name: str) -> tuple[str, ...]:
        """Return the keys that decide a PostgreSQL parameter, one for each type in use. Where none
        is set, it is that of ``session_settings``.
        """
        keys = ([f"{section}.{name}" for section in session_sections(kind)] for kind in self.types)
        return tuple(
            next((key for key in reversed(own) if self.value(key) is not None), own[0])
            for own in keys
        )

    def place(self, *keys: str) -> Origin:
        """Return the place of the first of these keys that somebody has set, or else ``home``."""
        for key in keys:
            setting = self.settings.get(key)
            if setting is not None and setting.origin.layer != "default":
                return setting.origin
        return self.home

    def found(
        self, key: str, message: str, *near: str, hint: str = "", severity: Severity | None = None
    ) -> Found:
        """Return a finding about ``key``, at its place, or at the place of the first key of
        ``near`` that is set.
        """
        setting = self.settings.get(key)
        full = setting.key if setting else self._full(key)
        return Found(self.environment, message, self.place(key, *near), full, hint, severity)

    def _full(self, key: str) -> str:
        return key if self.name == "default" else f"connections.{self.name}.{key}"


class Project:
    """The environments that are checked together, and the variables of the process.

    ``complete`` means that no environment of the project is missing; those that are there, but
    could not be loaded, are ``unread``.
    """

    def __init__(
        self,
        configs: Iterable[Config],
        environ: Mapping[str, str],
        *,
        complete: bool = True,
        unread: Iterable[str] = (),
    ) -> None:
        self.configs = tuple(configs)
        self.environ = environ
        self.complete = complete
        self.unread = tuple(unread)
        self.connections = tuple(
            Connection(config, name, config.connection(name))
            for config in self.configs
            for name in config.connections
        )

    @property
    def whole(self) -> bool:
        """Whether every environment of the project is there, and could be loaded."""
        return self.complete and not self.unread


Find: TypeAlias = Callable[[Project], Iterable[Found | Unknown]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: what it looks for, how bad that is, why, and what to do about it.

    ``compares`` rules need more than one environment, and are run only on all of them. ``files``
    rules look at files other than the environments.
    """

    id: str
    severity: Severity
    find: Find
    what: str
    why: str
    remedy: str
    compares: bool = False
    files: bool = False


def each(find: Callable[[Connection], Iterable[Found | Unknown]], *keys: str) -> Find:
    """Make a rule about one connection a rule about all of them. Where a service file may decide
    one of ``keys``, that is said instead.
    """

    def over(project: Project) -> Iterator[Found | Unknown]:
        for connection in project.connections:
            yield from connection.undecided(*keys) or find(connection)

    return over


def home(environment: str) -> Origin:
    """Return the top of an environment's own file."""
    return Origin("overlay", f"{FOLDER}/{environment}.yaml", 1, 1)


def is_remote(host: str) -> bool:
    """Tell whether a host is another machine: no Unix socket, and no loopback address."""
    host = host.strip().lower()
    return host not in _LOOPBACK and not host.startswith(("/", "@", "127."))


def reading(key: str, value: Value) -> object:
    """Return what PostgreSQL reads from a value, so that ``5s`` equals ``5000``. No secret may be
    given.
    """
    section, _, name = key.rpartition(".")
    if section.rpartition(".")[2] not in SESSION_SECTIONS or not isinstance(value, str):
        return value
    parameter = parameters.find(name)
    if parameter is None:
        return value
    try:
        return parameters.canonical(parameter, value)
    except ValueError:
        return value


def _each_host(value: Value) -> tuple[str, ...]:
    return tuple(host.strip().lower() for host in str(value).split(",")) if value else ()


def _is_nothing(value: Value) -> bool:
    return value is None or (not isinstance(value, Secret) and value == "")
