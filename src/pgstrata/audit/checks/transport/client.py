"""The client's own certificate and key."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pgstrata.audit.model import Check, Fix, Outcome
from pgstrata.audit.remedy import for_client
from pgstrata.audit.view import View
from pgstrata.audit.wire.probe import Probe

_ROOT = 0
_FORBIDDEN = 0o077  # to group and others; the group of a key that root owns may read it
_FORBIDDEN_ROOT = 0o037
_CERT = "connection_settings.sslcert"
# How a server says in TLS that it does not like the client's certificate (RFC 8446, 6.2).
_ALERT = re.compile(r"alert .*(unknown ca|certificate)")


def key_perm(view: View) -> Iterator[Outcome]:
    """Look at who may read the client's key."""
    for row in view.snapshot.facts.get("client_key", ()):
        forbidden = _FORBIDDEN_ROOT if row.get("uid") == _ROOT else _FORBIDDEN
        open_to_all = bool(int(row["mode"], 8) & forbidden)
        yield Outcome(
            "fail" if open_to_all else "ok",
            f"{row['path']} has mode {row['mode']}"
            + (": libpq refuses a key that others may read" if open_to_all else ""),
            object=row["path"],
            observed=row["mode"],
            expected="0600",
            key="connection_settings.sslkey",
            fix=(Fix(f"chmod 600 {row['path']}", "new sessions"),) if open_to_all else (),
        )


def mtls(view: View) -> Iterator[Outcome]:
    """Compare what the server wants of a client certificate with what the client has."""
    if not view.tcp or view.sslmode == "disable" or "tls" not in view.probes:
        return
    answer, shaken = view.probes["tls"], view.handshake
    demanded = answer.request in ("no_certificate", "no_client_ca")
    if not (demanded or shaken.presented or shaken.asks_certificate):
        return
    if answer.admitted:
        yield Outcome("ok", "the server is content with what the client presents", key=_CERT)
    elif why := _disliked(view, answer):
        line = f"connection_settings: {{sslcert: …, sslkey: …}}, for the role {view.user}"
        yield Outcome(
            "fail",
            why,
            observed=answer.message,
            expected=f"a certificate of the server's ssl_ca_file, for {view.user}",
            key=_CERT,
            fix=(for_client(view, line),),
            evidence=(f"with TLS: {answer.message}",),
        )
    elif answer.request != "no_tls":
        yield Outcome(
            "unknown",
            f"what the server makes of the client's certificate is not known: {answer.message}",
            key=_CERT,
        )


def _disliked(view: View, answer: Probe) -> str:
    """Return what the server has against the client's certificate; empty where it says nothing."""
    if answer.request == "no_client_ca":
        return "the server demands a client certificate, and has no ssl_ca_file to verify it with"
    if answer.request == "no_certificate":
        lacks = "has none" if not view.handshake.presented else "presents none"
        return f"the server demands a client certificate, and the client {lacks}"
    if answer.request == "tls_failed" and _ALERT.search(answer.message):
        return f"the server does not accept the client's certificate: {answer.message}"
    if answer.request == "refused" and "certificate authentication failed" in answer.message:
        return f"the server does not take the client's certificate for role {view.user}"
    return ""


CHECKS = (
    Check(
        "tls.key_perm",
        "fail",
        what="The permissions of sslkey.",
        why="libpq refuses a private key that others than its owner may read.",
        verify="ls -l KEY",
        fix="chmod 600.",
        ignore="Never.",
        cannot_see="The file on the program's own machine, if the audit runs elsewhere.",
        source="libpq documentation: sslkey.",
        find=key_perm,
    ),
    Check(
        "tls.mtls",
        "fail",
        what="Whether the server demands a client certificate, and takes the client's for its"
        " role.",
        why="`connection requires a valid client certificate`: nobody without one gets in. The"
        " method cert also compares its common name with the role.",
        verify="SELECT line_number, auth_method, options FROM pg_hba_file_rules;",
        fix="A certificate that the server's ssl_ca_file signed, with the role as its common name.",
        ignore="When the connection is not used.",
        cannot_see="A map of pg_ident.conf, unless the viewer may read it.",
        source="PostgreSQL documentation, Certificate Authentication.",
        find=mtls,
    ),
)
