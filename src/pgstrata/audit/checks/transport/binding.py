"""Whether both ends share one encryption, and prove it to each other."""

from __future__ import annotations

from collections.abc import Iterator

from pgstrata.audit.checks.transport.trust import handshake_of
from pgstrata.audit.model import Check, Fix, Outcome
from pgstrata.audit.remedy import for_client
from pgstrata.audit.view import View


def channel_binding(view: View) -> Iterator[Outcome]:
    """Find a password exchange that could be tied to the channel, and is not."""
    if handshake_of(view) is None or "tls" not in view.probes:
        return
    possible = "SCRAM-SHA-256-PLUS" in view.probes["tls"].mechanisms
    bound = view.client.keyword("channel_binding") == "require"
    if not possible and not bound:
        return
    if bound and not possible:
        status, message = "fail", "the client demands channel binding, and the server has none"
    else:
        status = "ok" if bound else "warn" if view.client.protected and view.remote else "info"
        message = "the server offers channel binding" + (
            ""
            if bound
            else ", and the client does"
            " not ask for it: whoever holds a certificate may pass the password exchange on"
        )
    line = "connection_settings: {channel_binding: require, require_auth: scram-sha-256}"
    yield Outcome(
        status,  # type: ignore[arg-type]  # one of the words above
        message,
        observed=str(view.client.keyword("channel_binding") or "prefer"),
        expected="require" if possible else "prefer",
        key="connection_settings.channel_binding",
        fix=(for_client(view, line),) if status in ("info", "warn") else (),
        evidence=(f"offered: {', '.join(view.probes['tls'].mechanisms) or 'no SASL'}",),
    )


def midpoint(view: View) -> Iterator[Outcome]:
    """Find TLS that ends before the server."""
    if not view.tcp:
        return
    here, there = bool(view.row("client")["ssl"]), bool(view.row("tls")["ssl"])
    ends = here and not there
    yield Outcome(
        "warn" if ends else "ok",
        "TLS ends at what stands between, and from there on it is clear text"
        if ends
        else "both ends see the same encryption",
        observed=f"TLS here {_yes(here)}, at the server {_yes(there)}",
        expected="the same",
        key="pooler",
        fix=(Fix("server_tls_sslmode = verify-full  -- in the pooler's configuration", "reload"),)
        if ends
        else (),
    )


def _yes(value: bool) -> str:  # noqa: FBT001  # one word for one bool
    return "yes" if value else "no"


CHECKS = (
    Check(
        "tls.channel_binding",
        "fail",
        what="The server offers SCRAM-SHA-256-PLUS, and the client does not demand it: information,"
        " a warning for another machine in a protected environment. A fault where it is demanded"
        " and not offered.",
        why="Channel binding ends a connection to anybody in between, whatever certificate they"
        " have.",
        verify="psql 'host=HOST sslmode=require channel_binding=require' -c 'SELECT 1'",
        fix="`channel_binding: require` and `require_auth: scram-sha-256`.",
        ignore="Behind a pooler that ends TLS.",
        cannot_see="Whether a proxy ends TLS on the program's own way.",
        source="PostgreSQL documentation, SASL Authentication; libpq: channel_binding.",
        find=channel_binding,
    ),
    Check(
        "tls.midpoint",
        "warn",
        what="The client's end is encrypted, and the server sees clear text.",
        why="A pooler or proxy ends TLS; the second half of the way is open.",
        verify="SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid();",
        fix="server_tls_sslmode of PgBouncer, or the like.",
        ignore="When the pooler is on the server's own machine.",
        cannot_see="Where the pooler is.",
        source="PostgreSQL documentation, pg_stat_ssl; PgBouncer: server_tls_sslmode.",
        find=midpoint,
    ),
)
