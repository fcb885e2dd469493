"""How the program proves who it is, by the file and in fact."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pgstrata.audit.checks.authentication.known import known
from pgstrata.audit.checks.authentication.simulated import (
    Answer,
    answer,
    answers,
    attempt_of,
    file_of,
    networks,
    own_address,
)
from pgstrata.audit.hba import Transport
from pgstrata.audit.model import Check, Fix, Outcome, Status, UnreadError
from pgstrata.audit.view import View

_VERIFY = "SELECT line_number, type, address, auth_method FROM pg_hba_file_rules;"


def method(view: View) -> Iterator[Outcome]:
    """Judge the method of each line that lets the program in. Behind a pooler none does."""
    if view.client.value("pooler"):
        return
    try:
        found = [tried for network in networks(view) for tried in answers(view, network)]
    except UnreadError as error:
        yield from _probed(view, error)
        return
    taken = (next((a for a in tried if a.admitted), None) for tried in found)
    for one in dict.fromkeys(taken):
        if one is not None:
            yield _judged(one)


def _judged(one: Answer) -> Outcome:
    line, encrypted = one.rule, one.attempt.transport != "plain"
    assert line is not None
    near = one.attempt.client is None or one.attempt.client.is_loopback
    status, words = _verdict(line.method, near=near, encrypted=encrypted)
    better = str(line).replace(f" {line.method}", " scram-sha-256")
    return Outcome(
        status,
        f"{line.place} lets {one.where}, in by {line.method}{words}",
        object=line.place,
        observed=line.method,
        expected="scram-sha-256",
        key="client_addresses",
        fix=(Fix(f"{better}  -- {line.place}; then SELECT pg_reload_conf();", "reload", _VERIFY),)
        if status != "ok"
        else (),
        evidence=(f"{line.place}: {line}",),
    )


def _verdict(method: str, *, near: bool, encrypted: bool) -> tuple[Status, str]:
    if method == "trust":
        return ("info" if near else "fail"), ": nobody is asked for anything"
    if method == "password" and not encrypted and not near:
        return "fail", ": the password goes over the network in clear text"
    if method == "password":
        return "info", ": the server learns the password"
    if method == "md5":
        return "warn", ": md5 is broken, and deprecated since PostgreSQL 18"
    if method == "ident":
        return "warn", ": the client's own machine is believed"
    return "ok", ""


def _probed(view: View, error: UnreadError) -> Iterator[Outcome]:
    """Judge what the server asks for where the lines cannot be seen."""
    plain = view.probes["plain"]
    if plain.request == "nothing" and view.remote:
        yield Outcome(
            "fail", f"the server asks {view.user} for nothing", "here", "nothing", "scram-sha-256"
        )
    elif "md5" in {probe.request for probe in view.probes.values()}:
        yield Outcome(
            "warn", f"the server asks {view.user} for md5", "here", "md5", "scram-sha-256"
        )
    else:
        asked = ", ".join(probe.request for probe in view.probes.values() if probe.answered)
        raise UnreadError(error.gap, f"from here the server asks for {asked}")


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


def drift(view: View) -> Iterator[Outcome]:
    """Compare what the file says of the audit's own attempts with what the server did."""
    # As if the file were in force: that it may not be is what this is to find out.
    lines = tuple(line for line in file_of(view) if not line.broken)
    facts = replace(known(view), unsettled="")
    address = own_address(view)
    found = 0
    for name, probe in view.probes.items():
        transport: Transport = "tls" if name == "tls" else "plain"
        if not probe.answered:
            continue
        said = answer(lines, facts, attempt_of(view, address, transport))
        expected = {request for step in said.steps for request in step.requests}
        found += 1
        if said.verdict.kind == "unknown" or probe.request in expected:
            continue
        yield Outcome(
            "fail",
            f"the file says {_words(said)} to {said.where}, and the server does {probe.request}",
            object=transport,
            observed=probe.request,
            expected=", ".join(sorted(expected)),
            fix=(Fix("SELECT pg_reload_conf();  -- and look at the server's log", "reload"),),
            evidence=(_words(said), probe.message),
        )
    if found:
        yield Outcome("ok", f"the file and the server agree on {found} attempts")


def _words(said: Answer) -> str:
    return f"{said.rule.place}: {said.rule}" if said.rule else "no line matches"


CHECKS = (
    Check(
        "auth.method",
        "fail",
        what="The method by which the program is let in: trust from another machine and password"
        " without TLS are faults, md5 and ident warnings, password over TLS information.",
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
    Check(
        "auth.drift",
        "fail",
        what="What the server asked of a probe against what the file says of it.",
        why="The server works with other lines than those that everybody reads: the file was not"
        " read again, or was refused as a whole.",
        verify="SELECT pg_conf_load_time(); SELECT * FROM pg_hba_file_rules;",
        fix="Reload, and look for the server's complaint in its log.",
        ignore="Never.",
        cannot_see="Lines that no probe touched.",
        source="PostgreSQL documentation, pg_hba_file_rules.",
        find=drift,
    ),
)
