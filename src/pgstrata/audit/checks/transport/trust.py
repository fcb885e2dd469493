"""Whether the client can tell the server from another, and both ends share one encryption."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pgstrata.audit.checks.transport.encryption import KEY, uses_tls
from pgstrata.audit.model import Check, Fix, Outcome, Status
from pgstrata.audit.remedy import for_client
from pgstrata.audit.view import View
from pgstrata.audit.wire.handshake import Handshake

_LIBPQ = "libpq documentation: SSL Support."
_ROOTS = "connection_settings.sslrootcert"
_OWN = "connection_settings: {sslrootcert: …}, the file of the authority that signed it"
_VERIFYING = ("verify-ca", "verify-full")
_VERIFY = "openssl s_client -starttls postgres -connect HOST:PORT -CAfile CA"


def handshake_of(view: View) -> Handshake | None:
    """Return a handshake that got as far as certificates, or None where TLS is not used."""
    if not uses_tls(view) or view.handshake.offered is False:
        return None
    return view.handshake


def chain(view: View) -> Iterator[Outcome]:
    """Follow the server's certificate to an authority that the client trusts."""
    shaken = handshake_of(view)
    if shaken is None:
        return
    if view.sslmode in _VERIFYING and not shaken.configured:
        yield _without_roots(view, shaken)
        return
    if shaken.trusted is None:
        yield Outcome("unknown", f"no handshake: {shaken.error}", key=KEY)
        return
    reason = shaken.distrust or "it is not known"
    yield Outcome(
        "ok" if shaken.trusted else "fail" if _verifies(view, shaken) else "info",
        f"the server's certificate is one of {shaken.roots}"
        if shaken.trusted
        else f"the server's certificate cannot be verified with {shaken.roots}: {reason}",
        observed=reason if not shaken.trusted else "trusted",
        expected="trusted",
        key=_ROOTS,
        fix=() if shaken.trusted else (for_client(view, _OWN, _VERIFY),),
        evidence=_issuers(shaken),
    )


def _verifies(view: View, shaken: Handshake) -> bool:
    """Tell whether the client refuses a server that it cannot verify: with a file of authorities,
    require is verify-ca.
    """
    implied = view.sslmode == "require" and shaken.configured and Path(shaken.roots).exists()
    return view.sslmode in _VERIFYING or implied


def _without_roots(view: View, shaken: Handshake) -> Outcome:
    """Return the finding of a client that has nothing to verify with. The machine's own
    authorities, which the handshake tries, libpq uses only when told so.
    """
    system = "connection_settings: {sslmode: verify-full, sslrootcert: system}"
    return Outcome(
        "fail",
        f"sslmode is {view.sslmode}, and there is no sslrootcert: libpq does not connect",
        observed="none",
        expected="authorities that libpq finds",
        key=_ROOTS,
        fix=(for_client(view, system if shaken.trusted else _OWN, _VERIFY),),
    )


def _issuers(shaken: Handshake) -> tuple[str, ...]:
    return tuple(f"{one.subject}, signed by {one.issuer}" for one in shaken.chain)


def hostname(view: View) -> Iterator[Outcome]:
    """Compare the names in the certificate with the host."""
    shaken = handshake_of(view)
    if shaken is None:
        return
    if shaken.host_matches is None:
        why = shaken.error or shaken.distrust
        yield Outcome("unknown", f"the server's certificate was not seen: {why}", key=KEY)
        return
    leaf = shaken.chain[0]
    names = ", ".join([*leaf.dns_names, *leaf.ip_addresses]) or leaf.common_name
    bad: Status = "fail" if view.sslmode == "verify-full" else "info"
    line = f"connection_settings: {{host: …}}, one of {names}"
    yield Outcome(
        "ok" if shaken.host_matches else bad,
        f"the certificate is for {names}" + ("" if shaken.host_matches else f", not {shaken.host}"),
        observed=names,
        expected=shaken.host,
        key="connection_settings.host",
        fix=()
        if shaken.host_matches
        else (
            Fix(f"-- a certificate for {shaken.host}, then SELECT pg_reload_conf();", "reload"),
            for_client(view, line, _VERIFY),
        ),
    )


def root_implicit(view: View) -> Iterator[Outcome]:
    """Find a client that verifies, or not, by what a home folder holds."""
    shaken = handshake_of(view)
    if shaken is None or view.client.keyword("sslrootcert") or view.sslmode != "require":
        return
    yield Outcome(
        "info" if shaken.configured else "ok",
        f"{shaken.roots} is there, so that require means verify-ca on this machine, and not on"
        " another"
        if shaken.configured
        else "no file in the home folder changes what require means",
        observed=shaken.roots if shaken.configured else "none",
        expected="an sslrootcert of its own",
        key=KEY,
        fix=(for_client(view, "connection_settings: {sslmode: verify-full, sslrootcert: …}"),)
        if shaken.configured
        else (),
    )


CHECKS = (
    Check(
        "tls.chain",
        "fail",
        what="Whether the server's certificate leads to the client's own sslrootcert, by a real"
        " handshake, and whether libpq has what it verifies with at all. Information where the"
        " client does not verify.",
        why="With verify-ca and verify-full the client cannot connect. libpq says no more than"
        " `certificate verify failed`; this has the reason.",
        verify=_VERIFY,
        fix="The right CA file for the client, or a certificate and its intermediates for the"
        " server.",
        ignore="When the client is not meant to verify.",
        cannot_see="Revocation, unless sslcrl is set.",
        source=_LIBPQ,
        find=chain,
    ),
    Check(
        "tls.hostname",
        "fail",
        what="Whether the certificate is for the host that the client asks for, by libpq's rules."
        " Information below verify-full.",
        why="verify-full refuses a certificate for another name.",
        verify=_VERIFY,
        fix="A certificate with the host among its alternative names, or a host name that it has.",
        ignore="When the client is not meant to compare names.",
        cannot_see="Other names of the same server.",
        source=_LIBPQ,
        find=hostname,
    ),
    Check(
        "tls.root_implicit",
        "info",
        what="sslmode is require, and a root.crt in the home folder makes it verify-ca.",
        why="The same configuration verifies on one machine and not on the other.",
        verify="ls ~/.postgresql/root.crt",
        fix="`sslmode: verify-full` and `sslrootcert`.",
        ignore="Never: say what is meant.",
        cannot_see="The home folder of the program, if the audit runs elsewhere.",
        source="libpq documentation: sslmode, on backward compatibility.",
        find=root_implicit,
    ),
)
