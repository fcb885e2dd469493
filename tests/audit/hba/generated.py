"""Random files of pg_hba.conf and random attempts, and what a live server makes of them."""

from __future__ import annotations

import getpass
import ipaddress
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.certificates import Certificates
from tests.servers import PASSWORD, Server

from pgstrata.audit.hba import (
    Attempt,
    Known,
    Mapped,
    Request,
    Rule,
    next_step,
    rules,
    verdict,
)
from pgstrata.audit.wire.probe import Probe, probe

# Sessions that a probe has left may take a while to end, and must not fill the server.
CONF = "listen_addresses = '127.0.0.1, ::1'\nmax_connections = 200"
OS_USER = getpass.getuser()
ROLES = ("alice", "bob", "carol", "cert_user", "Sales Rep", "all", "replication", "staff", OS_USER)
GHOST = "ghost"  # a role that does not exist
GRANTS = (
    "CREATE ROLE team",
    "GRANT staff TO team",
    "GRANT team TO alice",
    'GRANT staff TO "Sales Rep"',
    "ALTER ROLE carol SUPERUSER",
    "ALTER ROLE bob REPLICATION",
)
DATABASES = ("app", "APP", "alice", "staff", "team", "my db", "all", "a,b", "x1")
DATABASE_WORDS = (
    *("all", "app", "ALL", "alice", "sameuser", "samerole", "samegroup", "replication", "staff"),
    *('"my db"', '"a,b"', "x1", "nix"),
)
USER_WORDS = (
    *("all", "alice", "bob", "carol", "cert_user", '"Sales Rep"', "+staff", "+team", "+alice"),
    *("+nix", "ghost", "All", "staff"),
)
PATTERNS = ("/^a", "/1$", '"/^(app|x[0-9]+)$"', '"/^.{5}$"', "/e", "/[[:upper:]]", '"/^s.*f$"')
ADDRESSES = (
    *("all", "all", "127.0.0.1/32", "127.0.0.0/8", "127.0.1.0/24", "127.128.0.0/9", "127.0.0.0/9"),
    *(
        "0.0.0.0/0",
        "0.0.0.0/0",
        "127.0.0.0/8",
        "::/0",
        "samenet",
        "::/0",
        "::1/128",
        "127.0.0.2 255.255.255.255",
        "127.0.0.9 255.0.0.255",
    ),
    *("10.0.0.0/8", "127.9.9.9/9", "fe80::/10", "::ffff:127.0.0.1/128", "samenet", "samehost"),
)
CLIENTS = ("127.0.0.1", "127.0.0.2", "127.0.1.9", "127.200.3.4", "::1")
METHODS = ("trust", "reject", "md5", "scram-sha-256", "password")
OF_TLS = (
    "cert",
    "cert map=m",
    "scram-sha-256 clientcert=verify-ca",
    "trust clientcert=verify-full",
)
IDENT = f"m cert_user alice\nm {OS_USER} bob\n"


@dataclass(frozen=True)
class Ground:
    """A server with roles, and what it and this machine allow to be tried."""

    server: Server
    known: Known
    clients: tuple[str, ...]
    tls: bool
    certificates: Certificates

    @property
    def kinds(self) -> tuple[str, ...]:
        """The types of lines that the server accepts."""
        tls = ("hostssl", "hostnossl") if self.tls else ("hostnossl",)
        return ("host", "host", "host", "local", "hostnogssenc", *tls)


@contextmanager
def ground(bindir: Path, certificates: Certificates, *, tls: bool) -> Iterator[Ground]:
    """Start a server with the roles of the generated files."""
    with Server.running(bindir, conf=CONF) as server:
        server.sql("; ".join((*_roles(), *GRANTS)))
        server.sql(f"SET password_encryption = 'md5'; ALTER ROLE alice PASSWORD '{PASSWORD}'")
        if tls:
            server.set_tls(certificates.server, certificates.ca)
        (server.data / "pg_ident.conf").write_text(IDENT)
        server.reload()
        clients = tuple(client for client in CLIENTS if _reaches(server, client))
        yield Ground(server, _known(server, tls=tls), clients, tls, certificates)


def lines(random: Random, where: Ground) -> list[str]:
    """Return the lines of a file, all of which the server accepts."""
    return [_line(random, where) for _ in range(random.randint(3, 14))]


def attempts(random: Random, where: Ground, found: Sequence[Rule], count: int) -> list[Attempt]:
    """Return attempts that can be made on this machine, some after the words of a rule."""
    return [_attempt(random, where, random.choice(found)) for _ in range(count)]


def loaded(where: Ground, written: Sequence[str]) -> tuple[Rule, ...]:
    """Make the server use these lines, and return them as its view shows them."""
    where.server.set_hba(written)
    where.server.reload()
    columns = (
        "type, database, user_name, address, netmask, auth_method, options, error, line_number"
    )
    if where.server.version >= 16:
        columns += ", file_name"
    names = columns.split(", ")
    found = where.server.sql(
        f"SELECT {columns} FROM pg_hba_file_rules() WITH ORDINALITY ORDER BY ordinality"
    )
    return rules([dict(zip(names, row, strict=True)) for row in found], where.server.version)


def seen(where: Ground, attempt: Attempt) -> Probe:
    """Make the attempt."""
    client = attempt.client
    host = str(where.server.directory) if client is None else _host(str(client.network_address))
    parameters = {
        "host": host,
        "port": str(where.server.port),
        "user": attempt.user,
        "dbname": attempt.database,
    }
    if attempt.certificate:
        pair = where.certificates.client
        parameters |= {"sslcert": str(pair.certificate), "sslkey": str(pair.key)}
    return probe(
        parameters,
        "tls" if attempt.transport == "tls" else "plain",
        seconds=60,
        replication=attempt.replication,
        source="" if client is None else str(client.network_address),
    )


def foretold(found: Sequence[Rule], attempt: Attempt, known: Known) -> tuple[set[Request], str]:
    """Return what the simulator takes for possible, and what it leaves open."""
    said = verdict(found, attempt, known)
    steps = [next_step(rule, attempt, known) for rule in said.possible]
    requests = {request for step in steps for request in step.requests}
    return requests, said.reason or ("" if len(requests) == 1 else "the method")


def _line(random: Random, where: Ground) -> str:
    kind = random.choice(where.kinds)
    patterns = PATTERNS if where.server.version >= 16 else ()
    databases = _words(random, DATABASE_WORDS, patterns)
    users = _words(random, USER_WORDS, patterns)
    methods = (*METHODS, *OF_TLS) if kind == "hostssl" else METHODS
    if kind == "local":
        return f"local {databases} {users} {random.choice((*METHODS, 'peer', 'peer map=m'))}"
    return f"{kind} {databases} {users} {random.choice(ADDRESSES)} {random.choice(methods)}"


def _words(random: Random, words: Sequence[str], patterns: Sequence[str]) -> str:
    if random.random() < 0.35:
        return "all"
    count = random.choice((1, 1, 2, 3))
    pool = (*words, *random.sample(patterns, k=min(2, len(patterns))))
    return ",".join(random.choice(pool) for _ in range(count))


def _attempt(random: Random, where: Ground, rule: Rule) -> Attempt:
    words = [word for word in rule.databases if word in DATABASES]
    # A database that is called like a keyword leaves the verdict open; it is as rare as that.
    names = (*DATABASES, *words * 9) if random.random() < 0.97 else ("replication",)
    database = random.choice(names)
    user = random.choice((*ROLES, GHOST, *[word for word in rule.users if word in ROLES] * 9))
    replication = random.random() < 0.15
    if random.random() < 0.2:
        return Attempt(database, user, replication=replication, os_user=OS_USER)
    tls = where.tls and random.random() < 0.3
    return Attempt(
        database,
        user,
        client=ipaddress.ip_network(random.choice(where.clients)),
        transport="tls" if tls else "plain",
        replication=replication,
        certificate="cert_user" if tls and random.random() < 0.5 else None,
    )


def _known(server: Server, *, tls: bool) -> Known:
    """Ask the server for what an audit would find out too."""
    memberships = dict(
        server.sql(
            "WITH RECURSIVE m(member, role) AS (SELECT oid, oid FROM pg_roles UNION"
            " SELECT m.member, a.roleid FROM m JOIN pg_auth_members a ON a.member = m.role)"
            " SELECT pg_get_userbyid(member)::text, array_agg(pg_get_userbyid(role)::text)"
            " FROM m GROUP BY member"
        )
    )
    kinds = server.sql(
        "SELECT rolname::text, CASE WHEN rolpassword IS NULL THEN 'none'"
        " WHEN rolpassword LIKE 'md5%' THEN 'md5' ELSE 'scram-sha-256' END FROM pg_authid"
    )
    patterns = [pattern.strip('"')[1:] for pattern in PATTERNS]
    names = (*DATABASES, *ROLES, GHOST)
    asked = [(pattern, name) for pattern in patterns for name in names]
    answers = server.sql(
        'SELECT p, n, n COLLATE "C" ~ p FROM (VALUES '
        + ", ".join(f"('{pattern}', '{name}')" for pattern, name in asked)
        + ") AS asked(p, n)"
    )
    return Known(
        memberships={
            **{role: frozenset(roles) for role, roles in memberships.items()},
            GHOST: frozenset(),
        },
        regexes={(pattern, name): answer for pattern, name, answer in answers if "[:" in pattern},
        password_kinds=dict(kinds),
        password_encryption=server.sql("SHOW password_encryption")[0][0],
        client_ca=tls,
        ident=(Mapped("m", "cert_user", "alice"), Mapped("m", OS_USER, "bob")),
    )


def _reaches(server: Server, client: str) -> bool:
    try:
        with socket.create_connection((_host(client), server.port), 10, source_address=(client, 0)):
            return True
    except OSError:
        return False


def _host(client: str) -> str:
    return "::1" if ":" in client else "127.0.0.1"


def _roles() -> Iterator[str]:
    for role in ROLES:
        yield f"CREATE ROLE \"{role}\" LOGIN PASSWORD '{PASSWORD}'"
