"""The client's own certificate and key."""

from __future__ import annotations

from collections.abc import Iterator

from pgstrata.audit.model import Check, Fix, Outcome
from pgstrata.audit.remedy import for_client
from pgstrata.audit.view import View

_GROUP_MAY = 0o740  # of a key that root owns; of any other nobody else may
_CERT = "connection_settings.sslcert"


def key_perm(view: View) -> Iterator[Outcome]:
    """Look at who may read the client's key."""
    for row in view.snapshot.facts.get("client_key", ()):
        open_to_all = bool(int(row["mode"], 8) & ~_GROUP_MAY & 0o777)
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
    shown = [
        row
        for row in view.snapshot.facts.get("client_certificates", ())
        if row["keyword"] == "sslcert"
    ]
    answer = view.probes["tls"]
    if answer.request == "no_certificate":
        lacks = "has none" if not view.handshake.presented else "has one that it does not accept"
        line = f"connection_settings: {{sslcert: …, sslkey: …}}, for the role {view.user}"
        yield Outcome(
            "fail",
            f"the server demands a client certificate, and the client {lacks}",
            observed=answer.message,
            expected="a certificate of the server's ssl_ca_file",
            key=_CERT,
            fix=(for_client(view, line),),
            evidence=(f"with TLS: {answer.message}",),
        )
    elif answer.code == "28000" and shown:
        yield Outcome(
            "fail",
            f"the server does not take the certificate of {shown[0]['common_name']} for role"
            f" {view.user}",
            observed=shown[0]["common_name"],
            expected=view.user,
            key=_CERT,
            fix=(for_client(view, f"connection_settings: {{sslcert: …}}, with CN={view.user}"),),
            evidence=(f"with TLS: {answer.message}",),
        )
    elif shown or view.handshake.asks_certificate:
        yield Outcome("ok", "the server is content with what the client presents", key=_CERT)


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
