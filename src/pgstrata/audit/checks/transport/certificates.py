"""How long certificates are valid: the server's, and those that the client brings along."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from pgstrata.audit.checks.transport.encryption import uses_tls
from pgstrata.audit.model import Check, Fix, Outcome, Status, UnreadError
from pgstrata.audit.reading import moment
from pgstrata.audit.view import View

_SOON, _NEAR = dt.timedelta(days=7), dt.timedelta(days=30)


def expiry(view: View) -> Iterator[Outcome]:
    """Look at the last day of each certificate."""
    if not uses_tls(view):
        return
    for row in view.snapshot.facts.get("client_certificates", ()):
        name = f"{row['keyword']}: {row['subject']}"
        key = f"connection_settings.{row['keyword']}"
        yield _judged(view, name, row["not_after"], key, f"{row['path']} is renewed")
    try:
        shaken = view.handshake
    except UnreadError:
        if not view.snapshot.facts.get("client_certificates"):
            raise
        return
    if not shaken.chain and shaken.offered is not False:
        why = shaken.error or shaken.distrust or "it cannot be read"
        yield Outcome("unknown", f"the server's certificate was not seen: {why}", "the server's")
    for one in shaken.chain:
        what = "the server's certificate is renewed, then SELECT pg_reload_conf();"
        yield _judged(view, one.subject, one.not_after, "connection_settings.host", what)


def _judged(view: View, name: str, until: str, key: str, what: str) -> Outcome:
    left = moment(until) - view.now
    status: Status = "fail" if left < _SOON else "warn" if left < _NEAR else "ok"
    words = "expired" if left < dt.timedelta(0) else f"expires in {left.days} days"
    return Outcome(
        status,
        f"{name} {words}: {until[:10]}",
        object=name,
        observed=until[:10],
        expected=f"{_NEAR.days} days at least",
        key=key,
        fix=() if status == "ok" else (Fix(f"-- {what}", "reload"),),
        evidence=(f"valid until {until}",),
    )


CHECKS = (
    Check(
        "tls.expiry",
        "fail",
        what="The last day of the server's certificate and of those that it sends along, of the"
        " client's sslcert, and of the authorities in sslrootcert, those of libpq's own folder"
        " among them. A warning from 30 days before, a"
        " fault from 7 days before.",
        why="On that day every client that verifies stops to connect, all at once.",
        verify="openssl x509 -enddate -noout -in server.crt",
        fix="Renew it; the server reads it again at a reload, clients at their next connection.",
        ignore="When it is renewed by a program every few days.",
        cannot_see="Authorities in the system's own store.",
        source="RFC 5280: validity.",
        find=expiry,
    ),
)
