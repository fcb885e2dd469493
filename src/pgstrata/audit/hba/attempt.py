"""An attempt to connect, and what is known of the server besides its rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Literal, TypeAlias

from pgstrata.audit.hba.rule import Network

Transport: TypeAlias = Literal["plain", "tls", "gss"]
Address: TypeAlias = IPv4Address | IPv6Address

# What libpq tries, in its order, until one is let in: a refusal by pg_hba.conf of the first makes
# it try the second. https://www.postgresql.org/docs/current/libpq-ssl.html
_TRANSPORTS: Mapping[str, tuple[Transport, ...]] = {
    "disable": ("plain",),
    "allow": ("plain", "tls"),
    "prefer": ("tls", "plain"),
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """Who knocks, from where, and how.

    ``client`` is the client's address as the server sees it, or a network of such clients, or None
    for a Unix socket. ``replication`` means physical replication; a logical one is like any other
    attempt. ``certificate`` is the common name (CN) in the client's certificate, which the server's
    authority has signed; None without one. ``os_user`` is the client's account of the server's
    machine, if known.
    """

    database: str
    user: str
    client: Network | None = None
    transport: Transport = "plain"
    replication: bool = False
    certificate: str | None = None
    os_user: str = ""


@dataclass(frozen=True, slots=True)
class Mapped:
    """A line of pg_ident.conf: who is this in the outside world may be that in the database."""

    map: str
    system: str
    database_user: str


@dataclass(frozen=True, slots=True)
class Known:
    """What a decision may depend on besides the rules. What is not said is not known.

    - ``memberships``: role -> all roles that it is directly or indirectly a member of by grants,
      itself included; empty for a role that does not exist. That a superuser counts as a member of
      everything else does not count here.
    - ``regexes``: (pattern without its slash, name) -> what the server says of ``name ~ pattern``
      with collation "C".
    - ``host_names``: client's address -> its name, confirmed by a look-up in both directions; empty
      where it has none.
    - ``server_addresses``: addresses of the server's own interfaces besides the loopback ones.
    - ``password_kinds``: role -> ``md5``, ``scram-sha-256``, ``none`` (no password).
    - ``password_encryption``: the server's parameter, which the method ``md5`` goes by for a role
      that has no password or does not exist.
    - ``client_ca``: whether the server has authorities for clients' certificates (ssl_ca_file).
    - ``ident``: the lines of pg_ident.conf, None where they cannot be seen.
    - ``unsettled``: why the rules in force may be others than those that were read.
    """

    memberships: Mapping[str, frozenset[str]] = field(default_factory=dict)
    regexes: Mapping[tuple[str, str], bool] = field(default_factory=dict)
    host_names: Mapping[Address, str] = field(default_factory=dict)
    server_addresses: frozenset[Address] = frozenset()
    password_kinds: Mapping[str, str] = field(default_factory=dict)
    password_encryption: str = ""
    client_ca: bool | None = None
    ident: tuple[Mapped, ...] | None = None
    unsettled: str = ""


def transports(sslmode: str, client: Network | None) -> tuple[Transport, ...]:
    """Return how a client with this ``sslmode`` tries to connect, in its order.

    Each is an attempt of its own. Over a Unix socket libpq never uses TLS. With a Kerberos ticket
    there is another one before them, ``gss``, unless ``gssencmode=disable``.
    """
    return ("plain",) if client is None else _TRANSPORTS.get(sslmode, ("tls",))


def is_physical(replication: object) -> bool:
    """Tell whether a client's ``replication`` keyword asks for physical replication, which only the
    word ``replication`` of a line matches. ``database`` is the logical one.
    """
    return str(replication or "").lower() in ("true", "yes", "on", "1")


def client(text: str) -> Network | None:
    """Return the clients that an address, a CIDR, or the word ``local`` means.

    Bits after the prefix are ignored. Raises ``ValueError`` for anything else.
    """
    return None if text == "local" else ip_network(text, strict=False)
