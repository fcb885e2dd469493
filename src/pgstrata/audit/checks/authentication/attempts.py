"""The attempts of the program to connect: how, from where, and with what."""

from __future__ import annotations

import re
from ipaddress import ip_network

from pgstrata import client_addresses
from pgstrata.audit.hba import Attempt, Transport, client, is_physical, transports
from pgstrata.audit.hba.rule import Network
from pgstrata.audit.model import Gap, UnreadError
from pgstrata.audit.view import View
from pgstrata.errors import InvalidConfigError

_ANYWHERE = ip_network("0.0.0.0/0")


def wanted(view: View) -> tuple[Transport, ...]:
    """Return how the program tries to connect, in its order. Raises ``UnreadError``."""
    if view.tcp and view.client.keyword("gssencmode") == "require":
        raise UnreadError(Gap("gssencmode is require, and the client's Kerberos ticket is unseen"))
    return transports(view.sslmode, _ANYWHERE if view.tcp else None)


def attempted(view: View) -> tuple[Transport, ...]:
    """Return which of them get as far as pg_hba.conf: without TLS in the server, those in TLS do
    not. Raises ``UnreadError``.
    """
    spoken = [one for one in wanted(view) if one != "tls" or view.server("ssl").text == "on"]
    if not spoken:
        raise UnreadError(Gap(f"sslmode is {view.sslmode}, and the server does not speak TLS"))
    return tuple(spoken)


def attempt_of(view: View, network: Network | None, transport: Transport) -> Attempt:
    """Return the program's attempt from there."""
    shown = view.snapshot.facts.get("client_certificates", ())
    names = [row["common_name"] for row in shown if row["keyword"] == "sslcert"]
    return Attempt(
        database=view.dbname,
        user=view.user,
        client=network,
        transport=transport,
        replication=is_physical(view.client.keyword("replication")),
        certificate=names[0] if names and transport == "tls" else None,
    )


def inside(view: View, user: str) -> Attempt:
    """Return the attempt that led to a session like that of the audit: as the server saw it, which
    behind a pooler is the pooler's. Raises ``UnreadError``.
    """
    row = view.row("tls")
    name = re.search(r"/CN=([^/]*)", row["client_dn"] or "")
    return Attempt(
        database=view.row("caps")["dbname"],
        user=user,
        client=own_address(view),
        transport="tls" if row["ssl"] else "gss" if row["gss_encrypted"] else "plain",
        certificate=name[1] if name else None,
    )


def own_address(view: View) -> Network | None:
    """Return where the server saw the audit come from; None for a Unix socket."""
    address = view.row("identity")["client_addr"]
    return client(address) if address else None


def networks(view: View) -> tuple[Network | None, ...]:
    """Return where the program connects from: to another machine as declared, and else, over a Unix
    socket or a loopback address, as the audit did.

    Raises ``UnreadError`` where the audit's own address says nothing of the program's.
    """
    if not view.remote:
        return (own_address(view),)
    try:
        declared = client_addresses.networks(view.client.config)
    except InvalidConfigError as error:
        raise UnreadError(Gap(str(error))) from None
    if not declared:
        raise UnreadError(Gap("no client_addresses are declared"))
    return declared
