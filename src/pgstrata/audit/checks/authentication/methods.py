"""How the program proves who it is, by the file and in fact."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pgstrata.audit.checks.authentication.simulated import Answer, all_answers
from pgstrata.audit.checks.pooled import behind_pooler
from pgstrata.audit.hba import Rule
from pgstrata.audit.hba.step import certificate_demand
from pgstrata.audit.model import Check, Fix, Outcome, Status, UnreadError
from pgstrata.audit.view import View
from pgstrata.audit.wire.probe import Probe

_IN_CLEAR = ("password", "ldap", "pam", "radius", "bsd")  # the server is sent the password itself
_WEAK: Mapping[str, tuple[Status, str]] = {
    "md5": ("warn", ": md5 is broken, and deprecated since PostgreSQL 18"),
    "ident": ("warn", ": the client's own machine is believed"),
}
_VERIFY = "SELECT line_number, type, address, auth_method FROM pg_hba_file_rules;"


def method(view: View) -> Iterator[Outcome]:
    """Judge the method of each line that may let the program in. Behind a pooler none does."""
    if behind_pooler(view):
        return
    try:
        found = all_answers(view)
    except UnreadError as error:
        yield from _probed(view, error)
        return
    yield from dict.fromkeys(_said(one) for tried in found for one in _met(tried))


def _met(tried: Iterable[Answer]) -> Iterator[Answer]:
    """Yield the attempts that get as far as a method, up to the one that lets the program in."""
    for one in tried:
        if one.verdict.kind == "unknown" or (one.rule and one.rule.method != "reject"):
            yield one
        if one.admitted:
            return


def _said(one: Answer) -> Outcome:
    if one.rule is None:
        where = str(one.attempt.client or "a Unix socket")
        why = f"by which method {one.where}, gets in cannot be told: {one.why}"
        return Outcome("unknown", why, where, key="client_addresses")
    return _judged(one.rule, one)


def _judged(line: Rule, one: Answer) -> Outcome:
    near = one.attempt.client is None or one.attempt.client.is_loopback
    status, words = _verdict(line, near=near, encrypted=one.attempt.transport != "plain")
    better = str(line).replace(f" {line.method}", " scram-sha-256")
    return Outcome(
        status,
        f"{line.place} decides about {one.where}, by {line.method}{words}",
        object=line.place,
        observed=line.method,
        expected="scram-sha-256",
        key="client_addresses",
        fix=(Fix(f"{better}  -- {line.place}; then SELECT pg_reload_conf();", "reload", _VERIFY),)
        if status != "ok"
        else (),
        evidence=(f"{line.place}: {line}",),
    )


def _verdict(line: Rule, *, near: bool, encrypted: bool) -> tuple[Status, str]:
    demand = certificate_demand(line)
    if line.method == "trust" and not demand:
        return ("info" if near else "fail"), ": nobody is asked for anything"
    if line.method == "trust" and demand == "verify-ca":
        return "warn", ": any certificate of the authority is enough"
    if line.method in _IN_CLEAR and not encrypted and not near:
        return "fail", ": the password goes over the network in clear text"
    if line.method in _IN_CLEAR:
        return "info", ": the server learns the password"
    return _WEAK.get(line.method, ("ok", ""))


def _probed(view: View, error: UnreadError) -> Iterator[Outcome]:
    """Judge what the server asks for where the lines cannot be seen."""
    asked = {probe.request for probe in view.probes.values()}
    if view.remote and any(_open(view, probe) for probe in view.probes.values()):
        yield Outcome(
            "fail", f"the server asks {view.user} for nothing", "here", "nothing", "scram-sha-256"
        )
    elif "md5" in asked:
        yield Outcome(
            "warn", f"the server asks {view.user} for md5", "here", "md5", "scram-sha-256"
        )
    else:
        admitted = ", ".join(one.request for one in view.probes.values() if one.admitted)
        said = f"from here the server asks for {admitted}" if admitted else ""
        raise UnreadError(error.gap, said)


def _open(view: View, probe: Probe) -> bool:
    """Tell whether the server lets in whoever comes: in TLS a certificate may have been enough."""
    return probe.request == "nothing" and (
        probe.transport == "plain" or not view.handshake.presented
    )


def actual(view: View) -> Iterator[Outcome]:
    """Say how the session of the audit itself was let in."""
    said = view.row("auth")["system_user"]
    yield Outcome(
        "ok" if said else "info",
        f"the audit was let in as {said}"
        if said
        else "the audit was let in without being asked who it is",
        observed=str(said or "trust"),
        expected="a method that asks",
    )


CHECKS = (
    Check(
        "auth.method",
        "fail",
        what="The method by which the program is let in: trust from another machine, and methods"
        " that send the password itself (password, ldap, pam, radius) without TLS, are faults, md5"
        " and ident warnings, and a password itself over TLS information.",
        why="trust asks nobody for anything; password shows the password to the server, and"
        " without TLS to everybody between; md5 hashes can be used as they are.",
        verify=_VERIFY,
        fix="scram-sha-256 in the line that is named.",
        ignore="For trust on a Unix socket that only one account can reach.",
        cannot_see="The file, for a viewer without the right: then only what a probe was asked.",
        source="PostgreSQL documentation, Authentication Methods.",
        find=method,
    ),
    Check(
        "auth.actual",
        "info",
        what="How the session of the audit was let in, by SYSTEM_USER. PostgreSQL 16 and newer.",
        why="It is the server's own word, whatever the file says.",
        verify="SELECT SYSTEM_USER;",
        fix="Look at auth.method.",
        ignore="On a machine of one's own.",
        cannot_see="Other roles and addresses.",
        source="PostgreSQL documentation, Session Information Functions: SYSTEM_USER.",
        find=actual,
    ),
)
