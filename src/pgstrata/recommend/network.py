"""Where the server has to listen, and what its TLS has to be able to do."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pgstrata.check.scope import Connection, is_remote
from pgstrata.check.transport import sslmode
from pgstrata.recommend.advice import Advice, Note
from pgstrata.recommend.server import Server, places, ports, tcp_hosts
from pgstrata.statements import conf_text

DEMANDS_TLS = ("require", "verify-ca", "verify-full")
_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_LEAST = "TLSv1.2"
_HOST = ("connection_settings.host", "connection_settings.hostaddr")
_SSLMODE = "connection_settings.sslmode"
_OLDEST = "connection_settings.ssl_min_protocol_version"
_NEWEST = "connection_settings.ssl_max_protocol_version"
_SSLCERT = "connection_settings.sslcert"
_PLAIN = re.compile(r"[A-Za-z0-9_./@-]+", re.ASCII)


def listening(server: Server) -> Iterator[Advice]:
    """Say at which addresses, port and socket the clients look for the server."""
    by_tcp = [c for c in server.direct if tcp_hosts(c)]
    if by_tcp:
        remote = any(is_remote(host) for c in by_tcp for host in tcp_hosts(c))
        yield Advice(
            "conf",
            f"listen_addresses = '{'*' if remote else 'localhost'}'",
            "clients come over the network; pg_hba.conf decides who gets in. Where the machine"
            " has an address that no client uses, list the others instead"
            if remote
            else "all clients are on the server's own machine",
            "restart",
            origins=places(by_tcp, *_HOST),
        )
    asked = list(dict.fromkeys(port for c in server.direct for port in ports(c)))
    if len(asked) == 1 and asked != ["5432"]:
        yield Advice(
            "conf",
            f"port = {asked[0]}",
            "the clients ask for this port. Leave it out where something forwards the port",
            "restart",
            origins=places(server.direct, "connection_settings.port"),
        )
    yield from _sockets(server)


def tls(server: Server) -> Iterator[Advice | Note]:
    """Say what TLS the clients demand of the server."""
    demanding = [c for c in server.direct if tcp_hosts(c) and sslmode(c) in DEMANDS_TLS]
    if not demanding:
        return
    modes = ", ".join(dict.fromkeys(map(sslmode, demanding)))
    yield Advice(
        "conf",
        "ssl = on",
        f"sslmode {modes} refuses a server without TLS",
        "reload",
        origins=places(demanding, _SSLMODE),
    )
    oldest = min((_oldest(c) for c in demanding), key=_VERSIONS.index)
    yield Advice(
        "conf",
        f"ssl_min_protocol_version = '{oldest}'",
        "the oldest version that every client agrees to, and none older than TLSv1.2 unless a"
        " client can do no better",
        "reload",
        origins=places(demanding, _OLDEST, _NEWEST),
    )
    yield from _by_hand(demanding)


def sends_certificate(connection: Connection) -> bool:
    """Whether the client has a certificate of its own, and a TLS connection to show it on."""
    return bool(
        connection.keyword("sslcert")
        and connection.keyword("sslcertmode") != "disable"
        and sslmode(connection) in DEMANDS_TLS
    )


def _by_hand(demanding: list[Connection]) -> Iterator[Advice | Note]:
    certified = [c for c in demanding if sends_certificate(c)]
    if certified:
        yield Advice(
            "conf",
            "ssl_ca_file = 'root.crt'",
            "clients show a certificate. Put the CA that signed it there, in the data directory:"
            " the server does not start without the file",
            "reload",
            origins=places(certified, _SSLCERT),
        )
    for connection in demanding:
        mode = sslmode(connection)
        named = f", for {' and '.join(connection.hosts)}" if mode == "verify-full" else ""
        root = connection.keyword("sslrootcert") or "~/.postgresql/root.crt"
        signed = f", signed by a CA of {'the client system' if root == 'system' else root}"
        yield Note(
            "server.crt and server.key belong into the data directory"
            f"{named}{signed if mode != 'require' else ''}",
            connection.place(_SSLMODE),
        )


def _oldest(connection: Connection) -> str:
    asked = str(connection.keyword("ssl_min_protocol_version") or _LEAST)
    newest = str(connection.keyword("ssl_max_protocol_version") or _VERSIONS[-1])
    return min(max(asked, _LEAST, key=_VERSIONS.index), newest, key=_VERSIONS.index)


def _sockets(server: Server) -> Iterator[Advice]:
    using = [c for c in server.direct if any(host.startswith(("/", "@")) for host in c.hosts)]
    # As written: a path has upper and lower case, which the hosts of a connection have lost.
    hosts = [host.strip() for c in using for host in str(c.keyword("host")).split(",")]
    folders = list(dict.fromkeys(host for host in hosts if host.startswith(("/", "@"))))
    if folders:
        yield Advice(
            "conf",
            f"unix_socket_directories = {conf_text(', '.join(map(_listed, folders)))}",
            "clients look for the socket there. Add other folders that are in use",
            "restart",
            origins=places(using, *_HOST),
        )


def _listed(folder: str) -> str:
    """Return one item of a list in a setting, in double quotes where it needs them."""
    return folder if _PLAIN.fullmatch(folder) else '"' + folder.replace('"', '""') + '"'
