"""Whether sessions are encrypted, and whether they may be unencrypted."""

from __future__ import annotations

from collections.abc import Iterator

from pgstrata.audit.model import Check, Fix, Outcome, Status, UnreadError
from pgstrata.audit.remedy import for_client, for_server
from pgstrata.audit.view import View

KEY = "connection_settings.sslmode"
_OPTIONAL = ("allow", "prefer")
_SSL = "SELECT ssl, version, cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid();"
SOURCE = "libpq documentation: SSL Support; PostgreSQL documentation, Secure TCP/IP Connections."
OLD = ("TLSv1", "TLSv1.1")


def demands_tls(view: View) -> bool:
    """Tell whether the client refuses to connect without TLS."""
    return view.sslmode not in ("disable", *_OPTIONAL)


def uses_tls(view: View) -> bool:
    """Tell whether TLS matters to the client: it demands it, or may use it over a network."""
    return view.tcp and view.sslmode != "disable" and (view.remote or demands_tls(view))


def offered(view: View) -> Iterator[Outcome]:
    """Ask the server whether it speaks TLS."""
    if not uses_tls(view):
        return
    speaks = view.handshake.offered
    if speaks is None:
        yield Outcome("unknown", f"the server could not be asked for TLS: {view.handshake.error}")
        return
    bad: Status = "fail" if demands_tls(view) else "warn"
    yield Outcome(
        "ok" if speaks else bad,
        "the server speaks TLS"
        if speaks
        else f"the server does not speak TLS, and sslmode is {view.sslmode}",
        observed="offered" if speaks else "not offered",
        expected="offered",
        key=KEY,
        fix=() if speaks else _switched_on(view),
    )


def _switched_on(view: View) -> tuple[Fix, ...]:
    try:
        return for_server(view, "ssl", "on")
    except UnreadError:
        return (Fix("ssl = on, ssl_cert_file and ssl_key_file  -- in postgresql.conf", "reload"),)


def negotiated(view: View) -> Iterator[Outcome]:
    """Look at the session of the audit itself."""
    if not view.tcp:
        return
    row = view.row("tls")
    if row["ssl"]:
        old = row["version"] in OLD
        said = f"{row['version']}, {row['cipher']}, {row['bits']} bits"
        yield Outcome(
            "warn" if old else "ok",
            f"the session is encrypted: {said}",
            observed=said,
            expected="TLSv1.2 or newer",
            key=KEY,
        )
        return
    open_way = view.remote and not row["gss_encrypted"]
    meant: Status = "info" if view.sslmode == "disable" else "warn"
    yield Outcome(
        meant if open_way else "ok",
        f"the session of this audit went over the network in clear text: sslmode is {view.sslmode}"
        if open_way
        else "the session is not encrypted, and need not be",
        observed="clear text",
        expected="TLS",
        key=KEY,
        fix=(for_client(view, "connection_settings: {sslmode: verify-full}"),) if open_way else (),
    )


def plain_accepted(view: View) -> Iterator[Outcome]:
    """Find a server that would let the same user in without TLS."""
    if not view.tcp or not (view.remote or demands_tls(view)):
        return
    plain = view.probes["plain"]
    if not plain.answered:
        yield Outcome("unknown", f"the server could not be asked: {plain.message}", view.user)
        return
    bad: Status = "fail" if view.client.protected else "warn"
    yield Outcome(
        bad if plain.admitted else "ok",
        f"the server lets {view.user} in without TLS: it asks for {plain.request}"
        if plain.admitted
        else "without TLS the server refuses",
        object=view.user,
        observed=plain.request,
        expected="a refusal",
        key=KEY,
        fix=(
            Fix(
                "-- in pg_hba.conf: hostssl instead of host in the line that matches; then SELECT"
                " pg_reload_conf();",
                "reload",
                "SELECT line_number, type, database, user_name, address FROM pg_hba_file_rules;",
            ),
        )
        if plain.admitted
        else (),
        evidence=(f"without TLS: {plain.request} {plain.message}".rstrip(),),
    )


def prefer(view: View) -> Iterator[Outcome]:
    """Find a client that goes over the network in clear text, by itself or where TLS is refused."""
    if not view.remote or view.client.keyword("gssencmode") == "require":
        return
    weak = "" if demands_tls(view) else ": what refuses TLS gets clear text"
    if view.sslmode == "disable":
        weak = ": the password and all data go in clear text"
    yield Outcome(
        "warn" if weak else "ok",
        f"sslmode is {view.sslmode}{weak}",
        observed=view.sslmode,
        expected="verify-full",
        key=KEY,
        fix=(for_client(view, "connection_settings: {sslmode: verify-full}"),) if weak else (),
    )


CHECKS = (
    Check(
        "tls.offered",
        "fail",
        what="Whether the server answers a request for TLS with yes. A warning where the client"
        " only prefers it.",
        why="A client that demands TLS cannot connect; one that prefers it goes on in clear text.",
        verify="SHOW ssl;",
        fix="ssl = on, with ssl_cert_file and ssl_key_file; a reload is enough.",
        ignore="When all clients come over a Unix socket or through a tunnel.",
        cannot_see="A server that did not answer.",
        source=SOURCE,
        find=offered,
    ),
    Check(
        "tls.negotiated",
        "warn",
        what="How the session of the audit itself is encrypted, as the server sees it. Clear text"
        " to another machine is a warning, and information where sslmode is disable.",
        why="It took the way that the program takes.",
        verify=_SSL,
        fix="`sslmode: verify-full`.",
        ignore="Inside an encrypted network.",
        cannot_see="Other sessions.",
        source="PostgreSQL documentation, pg_stat_ssl.",
        find=negotiated,
    ),
    Check(
        "tls.plain_accepted",
        "fail",
        what="Whether the same user, database and address would be let in without TLS. A warning"
        " where the environment is not protected.",
        why="One client with another sslmode, or somebody in between who refuses TLS, and the"
        " password and all data go in clear text.",
        verify="SELECT line_number, type, address, auth_method FROM pg_hba_file_rules;",
        fix="hostssl instead of host in pg_hba.conf.",
        ignore="While old clients are moved: with an expiry date.",
        cannot_see="Other addresses than the one of the audit.",
        source="PostgreSQL documentation, The pg_hba.conf File.",
        find=plain_accepted,
    ),
    Check(
        "tls.prefer",
        "warn",
        what="sslmode is prefer, which is libpq's default, allow or disable, for another machine.",
        why="disable never encrypts; the others fall back to clear text, even where pg_hba.conf"
        " refuses the encrypted attempt.",
        verify=_SSL,
        fix="`sslmode: verify-full`, with `sslrootcert`.",
        ignore="Inside an encrypted network.",
        cannot_see="What lies between.",
        source=SOURCE,
        find=prefer,
    ),
)
