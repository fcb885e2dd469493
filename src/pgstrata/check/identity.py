"""Identity: whether each environment goes to its own server, and as a fitting role."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from pgstrata.check.scope import Connection, Found, Project, Rule, Unknown, each, is_remote

Target: TypeAlias = tuple[str, str, str]

_HOST = "connection_settings.host"
_ADDRESS = "connection_settings.hostaddr"
_USER = "connection_settings.user"
_WORDS = re.compile(r"[^a-z0-9]+")
SUPERUSERS = (
    "postgres",
    "root",
    "admin",
    "administrator",
    "superuser",
    "supabase_admin",
    "rdsadmin",
    "rds_superuser",
    "cloudsqladmin",
    "cloudsqlsuperuser",
    "azure_superuser",
    "azuresu",
    "doadmin",
    "avnadmin",
)


def same_target(project: Project) -> Iterator[Found | Unknown]:
    """Find environments that share a host, port and database."""
    known = _Known()
    told: set[tuple[str, str]] = set()
    # Protected environments come first, so that a finding stands in the other one.
    for connection in _protected_first(project):
        yield from connection.undecided(_HOST)
        for target, other in () if connection.local else known.others(connection):
            pair = (connection.environment, other.environment)
            if pair[0] != pair[1] and pair not in told:
                told.add(pair)
                yield _shared(connection, target, other)


class _Known:
    """The connections so far by what they go to: ``at`` an address, and, where a host's address is
    given, ``pinned`` by its name. Two with one name and two addresses are not the same.
    """

    def __init__(self) -> None:
        self.at: dict[Target, Connection] = {}
        self.pinned: dict[Target, Connection] = {}

    def others(self, connection: Connection) -> Iterator[tuple[Target, Connection]]:
        """Yield what a connection goes to, each with the first one that goes there."""
        for own, named in zip(connection.targets, connection.named_targets, strict=True):
            by_name = self.pinned if own == named else self.at
            yield own, self.at.setdefault(own, connection)
            if named in by_name:
                yield named, by_name[named]
            if own != named:
                self.pinned.setdefault(named, connection)


def _shared(connection: Connection, target: Target, other: Connection) -> Found:
    host, port, dbname = target
    key, *near = _keys(connection)
    return connection.found(
        key,
        f"{host}:{port}/{dbname} is also the database of {other.environment}",
        *near,
        hint=f"the other one is at {other.place(*_keys(other))}",
        severity="error" if other.protected else "warning",
    )


def _keys(connection: Connection) -> tuple[str, str]:
    """Return the keys of the place that is connected to, the one that decides first."""
    return (_ADDRESS, _HOST) if connection.keyword("hostaddr") else (_HOST, _ADDRESS)


def foreign_host(project: Project) -> Iterator[Found | Unknown]:
    """Find hosts that another environment's own file sets too, or that are named after another
    environment, and not after this one.
    """
    names = {_plain(config.environment): config.environment for config in project.configs}
    owners: dict[str, Connection] = {}
    for connection in _protected_first(project):
        yield from connection.undecided(_HOST)
        for host in () if connection.local else filter(is_remote, connection.hosts):
            owner = owners.setdefault(host, connection) if _sets_host(connection) else connection
            if connection.value("server.shared") is True:
                continue
            if owner.environment != connection.environment:
                yield _owned(connection, host, owner)
            elif other := _named_after(host, connection.environment, names):
                message = f"host {host} is named after {other}"
                hint = "name the host of this environment"
                yield connection.found(_HOST, message, _ADDRESS, hint=hint)


def _protected_first(project: Project) -> list[Connection]:
    """Return the connections so that what two share is found in the one that is not protected."""
    return sorted(project.connections, key=lambda one: not one.protected)


def _sets_host(connection: Connection) -> bool:
    """Tell whether its environment's own file sets the host, and no file that it ``extends``."""
    origin = connection.place(_HOST, _ADDRESS)
    return origin.line > 0 and origin.source == connection.home.source


def _owned(connection: Connection, host: str, owner: Connection) -> Found:
    return connection.found(
        _HOST,
        f"host {host} is that of {owner.environment}",
        _ADDRESS,
        hint=f"the other one is at {owner.place(_HOST, _ADDRESS)}; where it is meant,"
        " server: {shared: true}",
        severity="error" if owner.protected else "warning",
    )


def _named_after(host: str, own: str, names: Mapping[str, str]) -> str:
    """Return the environment whose name is in that of a host, which has not its own; or nothing."""
    parts = _parts(host)
    others = () if _plain(own) in parts else parts & names.keys()
    return names[max(others, key=len)] if others else ""


def _parts(host: str) -> set[str]:
    """Return all runs of words of a host's name: ``eu-1.db`` has eu, 1, db, eu-1, 1-db and all."""
    words = _plain(host).split("-")
    ends = range(1, len(words) + 1)
    return {"-".join(words[start:end]) for end in ends for start in range(end)}


def _plain(name: str) -> str:
    return _WORDS.sub("-", name.lower())


def protected_localhost(connection: Connection) -> Iterator[Found | Unknown]:
    """Find protected environments on the machine of the program itself."""
    if not connection.protected:
        return
    yield from connection.undecided(_HOST)
    if connection.local:
        message = "a protected environment uses the embedded PostgreSQL"
        key = "local"
    elif not all(map(is_remote, connection.addresses)):
        message = "a protected environment points at this machine itself"
        key = _keys(connection)[0]
    else:
        return
    yield connection.found(key, message, hint="name the server, or remove protected: true")


def superuser(connection: Connection) -> Iterator[Found]:
    """Find roles that are most likely superusers, by their name."""
    user = str(connection.keyword("user") or "")
    if not connection.local and user.lower().partition("@")[0] in SUPERUSERS:
        message = f"user {user} is most likely a superuser"
        yield connection.found(_USER, message, hint="give the program a role of its own")


RULES = (
    Rule(
        "same-target",
        "error",
        same_target,
        what="Two environments connect to the same host (`hostaddr`, where it is given), port and"
        " database. A warning where neither is protected. The embedded server is left out.",
        why="What is tried out in one happens in the other.",
        remedy="Point one of them elsewhere. If both are meant, say why:"
        " `# pgstrata: ignore[same-target] because …`.",
        compares=True,
    ),
    Rule(
        "foreign-host",
        "warning",
        foreign_host,
        what="An environment's own file sets a host that another one's own file sets as well, an"
        " error where that one is protected; or the name of a host holds the name of another"
        " environment, and not that of its own.",
        why="Most likely it was copied, or came along with `extends`.",
        remedy="Name the host of this environment in its own file. Where environments are meant to"
        " share a server, say `server: {shared: true}` in the one that joins.",
        compares=True,
    ),
    Rule(
        "protected-localhost",
        "error",
        each(protected_localhost),
        what="A protected environment points at the machine itself, or at the embedded PostgreSQL.",
        why="A forgotten setting looks the same: the program would write to a database that nobody"
        " backs up.",
        remedy="Name the server. A proxy on the same machine is a good reason to ignore this rule.",
    ),
    Rule(
        "superuser-name",
        "warning",
        each(superuser, _USER),
        what="The user has the name of a superuser or of a provider's administrator.",
        why="A superuser is held by no permission: one injected statement has the whole server.",
        remedy="Give the program a role of its own, with the rights that it needs.",
    ),
)
