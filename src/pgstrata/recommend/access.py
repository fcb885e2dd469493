"""Who gets in: a line of pg_hba.conf for each way in which a client comes, and none wider."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pgstrata.audit.hba.attempt import is_physical
from pgstrata.audit.hba.line import Keyword, hba_line
from pgstrata.check.scope import Connection, is_remote
from pgstrata.check.transport import sslmode
from pgstrata.client_addresses import networks
from pgstrata.recommend.advice import Advice, Missing, Note
from pgstrata.recommend.network import DEMANDS_TLS, sends_certificate
from pgstrata.recommend.server import Server, places, tcp_hosts, undeclared, uses_socket

_EXAMPLE = "client_addresses: [10.20.0.0/16]"
_LOOPBACK = {"::1": ("::1/128",), "localhost": ("127.0.0.1/32", "::1/128")}


@dataclass(frozen=True, slots=True)
class Login:
    """How a client proves who it is: the method, its options, and why just these."""

    method: str
    why: str
    options: dict[str, str] = field(default_factory=dict)


def lines(server: Server) -> Iterator[Advice | Missing | Note]:
    """Say which lines let the clients in. The first line that matches decides."""
    if not networks(server.config):
        yield from _where_from(server)
    said = [item for connection in server.direct for item in _of(server, connection)]
    yield from said
    if any(isinstance(item, Advice) and "scram-sha-256" in item.line for item in said):
        yield Advice(
            "conf",
            "password_encryption = 'scram-sha-256'",
            "a line of pg_hba.conf asks for scram-sha-256. A password that was stored as MD5"
            " before has to be set once more",
            "reload",
        )


def _of(server: Server, connection: Connection) -> Iterator[Advice | Missing | Note]:
    for name in ("user", "dbname"):
        if not connection.keyword(name):
            yield undeclared(
                connection.name,
                f"connection_settings.{name}",
                "pg_hba.conf and ALTER ROLE go by role and database, and libpq would choose",
                f"connection_settings:\n  {name}: app",
            )
    if not connection.keyword("user") or not connection.keyword("dbname"):
        return
    if uses_socket(connection):
        yield _line(connection, "local", None, _socket_login(connection))
    if tcp_hosts(connection):
        yield from _over_tcp(connection, _addresses(server, connection))


def _over_tcp(
    connection: Connection, addresses: tuple[str, ...]
) -> Iterator[Advice | Missing | Note]:
    login = _login(connection)
    if login is None:
        yield Note(
            f"{connection.name}: no line is recommended, as what require_auth or gssencmode asks"
            " for is set up by hand",
            connection.place("connection_settings.require_auth", "connection_settings.gssencmode"),
        )
        return
    kind = "hostssl" if sslmode(connection) in DEMANDS_TLS else "host"
    yield from (_line(connection, kind, address, login) for address in addresses)
    if login.method == "scram-sha-256" and not _has_password(connection):
        yield undeclared(
            connection.name,
            "connection_settings.password",
            "a password is asked for, and no password, passfile or sslcert is configured",
            "connection_settings:\n  password: {from_env: DB_PASSWORD}",
        )


def _line(connection: Connection, kind: str, address: str | None, login: Login) -> Advice:
    database, role = str(connection.keyword("dbname")), str(connection.keyword("user"))
    name = Keyword("replication") if is_physical(connection.keyword("replication")) else database
    line = hba_line(kind, name, role, address, login.method, login.options)
    origins = places([connection], "connection_settings.user")
    reason = f"{connection.name}: {login.why}"
    if address is not None:
        origins += places([connection], "connection_settings.sslmode")
        declared = connection.config.settings.get("client_addresses")
        origins += (declared.origin,) if declared else ()
        reason += f"; sslmode {sslmode(connection)}{_open(kind)}"
    return Advice("hba", line, reason, "reload", origins=origins)


def _open(kind: str) -> str:
    return " may come without TLS, verify-full would make it hostssl" if kind == "host" else ""


def _login(connection: Connection) -> Login | None:
    """Return how a client logs in over TCP; None where that cannot be told from its settings."""
    if connection.keyword("gssencmode") == "require":
        return None
    certificate = sends_certificate(connection)
    if certificate and _agrees_to(connection, "none") and not _has_password(connection):
        return Login(
            "cert",
            "the client's certificate is its proof; its common name has to be the role, or a map="
            " has to lead from one to the other",
        )
    if not _agrees_to(connection, "scram-sha-256"):
        return None
    if certificate:
        why = "the client has a password, and a certificate that the server can verify"
        return Login("scram-sha-256", why, {"clientcert": "verify-ca"})
    return Login("scram-sha-256", "the client logs in with a password")


def _socket_login(connection: Connection) -> Login:
    if _has_password(connection):
        return Login("scram-sha-256", "the client logs in with a password, over a Unix socket")
    return Login(
        "peer",
        "without a password, the account that the program runs under has to have the role's"
        " name, or a map= has to lead from one to the other",
    )


def _agrees_to(connection: Connection, method: str) -> bool:
    """Whether ``require_auth`` allows a method; a list with ! names those that it does not."""
    said = [item.strip() for item in str(connection.keyword("require_auth") or "").split(",")]
    refused = [item[1:] for item in said if item.startswith("!")]
    return method not in refused if refused else said == [""] or method in said


def _has_password(connection: Connection) -> bool:
    return any(connection.keyword(n) for n in ("password", "passfile", "scram_client_key"))


def _addresses(server: Server, connection: Connection) -> tuple[str, ...]:
    """Return where the client comes from: as declared, and for a loopback host from loopback."""
    near = [host for host in tcp_hosts(connection) if not is_remote(host)]
    loopback = [a for host in near for a in _LOOPBACK.get(host, ("127.0.0.1/32",))]
    return tuple(dict.fromkeys([*map(str, networks(server.config)), *loopback]))


def _where_from(server: Server) -> Iterator[Missing]:
    remote = [c.name for c in server.direct if any(is_remote(h) for h in tcp_hosts(c))]
    if remote:
        yield Missing(
            "client_addresses",
            f"pg_hba.conf goes by where clients come from, and nothing says that of"
            f" {', '.join(remote)}",
            _EXAMPLE,
        )
