"""Which line of pg_hba.conf lets the program in, or which one is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pgstrata.audit.checks.authentication.attempts import wanted
from pgstrata.audit.checks.authentication.remedies import (
    LINE_MISSING,
    VERIFY,
    nearest,
    remedies,
)
from pgstrata.audit.checks.authentication.simulated import Answer, all_answers
from pgstrata.audit.checks.pooled import behind_pooler
from pgstrata.audit.hba import Keyword, client, hba_line, is_physical
from pgstrata.audit.model import Check, Fix, Outcome, UnreadError
from pgstrata.audit.view import View
from pgstrata.audit.wire.probe import Probe


def rule(view: View) -> Iterator[Outcome]:
    """Find the line for each address that the program connects from."""
    if behind_pooler(view):
        return
    try:
        view.rows("hba")
    except UnreadError as error:
        yield from _by_probe(view, error)
        return
    for tried in all_answers(view):
        yield _judged(view, tried, "client_addresses")


def pooler_user(view: View) -> Iterator[Outcome]:
    """Find the line for the pooler, as the server sees it."""
    if behind_pooler(view):
        for tried in all_answers(view):
            yield _judged(view, tried, "pooler")


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
    refused = nearest(tried)
    expected, fix = remedies(view, refused)
    decided = {answer.rule for answer in tried if answer.rule is not None}
    return Outcome(
        "fail",
        f"the server does not let {view.user} in from {where}: {refused.why}",
        object=where,
        observed=str(refused.rule or "no line matches"),
        expected=expected,
        key=key,
        fix=fix,
        evidence=tuple(f"{one.place}: {one}" for one in decided),
    )


def _by_probe(view: View, error: UnreadError) -> Iterator[Outcome]:
    """Say what a probe has shown where the lines themselves are hidden, or nobody could log in."""
    tried = [view.probes.get(name) for name in wanted(view)]
    refusals = [probe for probe in tried if probe and probe.request in LINE_MISSING]
    if refusals and all(probe and _ended(probe) for probe in tried):
        yield _refused_here(view, refusals[0])
        return
    answered = [probe for probe in tried if probe and probe.answered]
    said = ", ".join(f"{probe.message or probe.request} ({probe.transport})" for probe in answered)
    raise UnreadError(error.gap, f"from here the server answers: {said}" if said else "")


def _ended(probe: Probe) -> bool:
    """Tell whether this attempt certainly ends, so that libpq goes on to the next."""
    return probe.request in (*LINE_MISSING, "no_tls", "tls_failed")


def _refused_here(view: View, refusal: Probe) -> Outcome:
    """Return the finding of a refusal, which itself says how the server sees the client."""
    database = str(view.client.keyword("dbname") or view.user)
    if is_physical(view.client.keyword("replication")):
        database = Keyword("replication")
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
        fix=(Fix(statement, "reload", VERIFY),),
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
        verify=VERIFY,
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
        verify=VERIFY,
        fix="The line that is printed, at the place that is printed.",
        ignore="When the pooler logs in as another role.",
        cannot_see="The lines of the pooler's own auth_hba_file.",
        source="PostgreSQL documentation, The pg_hba.conf File; PgBouncer: auth_type.",
        find=pooler_user,
    ),
)
