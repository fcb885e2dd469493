"""Which line of pg_hba.conf lets the program in, or which one is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pgstrata.audit.checks.authentication.known import known
from pgstrata.audit.checks.authentication.simulated import (
    Answer,
    answers,
    attempted,
    file_of,
    networks,
    own_address,
)
from pgstrata.audit.hba import client, hba_line, suggest
from pgstrata.audit.hba.rule import Network
from pgstrata.audit.model import Check, Fix, Outcome, UnreadError
from pgstrata.audit.view import View
from pgstrata.audit.wire.probe import Probe

_VERIFY = "SELECT * FROM pg_hba_file_rules;"
_REFUSALS = ("no_entry", "reject")


def rule(view: View) -> Iterator[Outcome]:
    """Find the line for each address that the program connects from."""
    if view.client.value("pooler"):
        return
    try:
        lines = view.rows("hba")
    except UnreadError as error:
        yield from _by_probe(view, error)
        return
    assert lines is not None
    for network in networks(view):
        yield from _of(view, network, "client_addresses")


def pooler_user(view: View) -> Iterator[Outcome]:
    """Find the line for the pooler's address, as the server sees it."""
    if view.client.value("pooler"):
        yield from _of(view, own_address(view), "pooler")


def _of(view: View, network: Network | None, key: str) -> Iterator[Outcome]:
    for tried in answers(view, network):
        yield _judged(view, tried, key)


def _judged(view: View, tried: Sequence[Answer], key: str) -> Outcome:
    """Judge the attempts from one address: libpq goes on to the next where one is refused."""
    where = str(tried[0].attempt.client or "a Unix socket")
    taken = next((answer for answer in tried if not answer.refused), None)
    if taken is None:
        return _refused(view, tried, where, key)
    if not taken.admitted:
        why = taken.why or "its method asks somebody else"
        return Outcome(
            "unknown", f"whether {taken.where}, gets in cannot be told: {why}", where, key=key
        )
    line = taken.rule
    assert line is not None
    return Outcome(
        "ok",
        f"{line.place} lets {taken.where}, in by {line.method}",
        object=where,
        observed=line.method,
        key=key,
        evidence=(f"{line.place}: {line}",),
    )


def _refused(view: View, tried: Sequence[Answer], where: str, key: str) -> Outcome:
    first = tried[0]
    lines = file_of(view)
    missing = suggest(lines, first.attempt, known(view))
    where_it_belongs = missing.place if missing.before else "at the end of pg_hba.conf"
    decided = {answer.rule for answer in tried if answer.rule is not None}
    return Outcome(
        "fail",
        f"the server does not let {view.user} in from {where}: {first.why}",
        object=where,
        observed=str(first.rule or "no line matches"),
        expected=missing.line,
        key=key,
        fix=(
            Fix(
                f"{missing.line}  -- {where_it_belongs}; then SELECT pg_reload_conf();",
                "reload",
                _VERIFY,
            ),
        ),
        evidence=tuple(f"{one.place}: {one}" for one in decided),
    )


def _by_probe(view: View, error: UnreadError) -> Iterator[Outcome]:
    """Say what a probe has shown where the lines themselves are hidden, or nobody could log in."""
    answered = [view.probes[name] for name in attempted(view) if name in view.probes]
    answered = [probe for probe in answered if probe.answered]
    if answered and all(probe.request in _REFUSALS for probe in answered):
        yield _refused_here(view, answered[0])
        return
    asked = ", ".join(f"{probe.request} ({probe.transport})" for probe in answered)
    raise UnreadError(error.gap, f"from here the server asks for {asked}" if asked else "")


def _refused_here(view: View, refusal: Probe) -> Outcome:
    """Return the finding of a refusal, which itself says how the server sees the client."""
    database = str(view.client.keyword("dbname") or view.user)
    kind = "local" if not view.tcp else "hostssl" if refusal.transport == "tls" else "host"
    seen = client(refusal.seen_as) if refusal.seen_as not in ("", "[local]") else None
    address = None if kind == "local" else str(seen or "ADDRESS")
    line = hba_line(kind, database, view.user, address, "scram-sha-256")
    statement = f"{line}  -- before the line that refuses it; then SELECT pg_reload_conf();"
    return Outcome(
        "fail",
        f"the server refuses {view.user} from here: {refusal.message}",
        object="here",
        observed=refusal.request,
        expected=line,
        key="client_addresses",
        fix=(Fix(statement, "reload", _VERIFY),),
        evidence=(refusal.message,),
    )


CHECKS = (
    Check(
        "auth.rule",
        "fail",
        what="Which line of pg_hba.conf decides about the program, for each of its"
        " `client_addresses` and each way that its sslmode tries; or which line is missing.",
        why="The first line that matches decides, and no later one helps. Without one:"
        " `no pg_hba.conf entry for host`.",
        verify=_VERIFY,
        fix="The line that is printed, at the place that is printed: lines are tried in order.",
        ignore="When the program moves to another address soon.",
        cannot_see="What NAT makes of the addresses; host names, groups of the machine's own"
        " interfaces, and methods that ask another server. That is unknown, with the reason.",
        source="PostgreSQL documentation, The pg_hba.conf File.",
        find=rule,
    ),
    Check(
        "auth.pooler_user",
        "fail",
        what="Behind a pooler: which line decides about the program's role from the address that"
        " the server sees, which is the pooler's.",
        why="The lines for the program's own addresses do not count there.",
        verify=_VERIFY,
        fix="The line that is printed, at the place that is printed.",
        ignore="When the pooler logs in as another role.",
        cannot_see="The lines of the pooler's own auth_hba_file.",
        source="PostgreSQL documentation, The pg_hba.conf File; PgBouncer: auth_type.",
        find=pooler_user,
    ),
)
