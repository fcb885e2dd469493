"""Which line of pg_hba.conf lets the program in, or which one is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pgstrata.audit.checks.authentication.simulated import (
    Answer,
    answers,
    file_of,
    known,
    networks,
    own_address,
)
from pgstrata.audit.hba import suggest
from pgstrata.audit.hba.rule import Network
from pgstrata.audit.model import Check, Fix, Outcome, UnreadError
from pgstrata.audit.view import View

_VERIFY = "SELECT * FROM pg_hba_file_rules;"


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
    """Say what a probe has shown where the lines themselves are hidden."""
    tried = [p for p in view.probes.values() if p.transport != "tls" or view.sslmode != "disable"]
    tried = [
        p
        for p in tried
        if p.transport == "tls" or view.sslmode in ("disable", "allow", "prefer") or not view.tcp
    ]
    answered = [probe for probe in tried if probe.answered]
    if answered and not any(probe.admitted for probe in answered):
        yield Outcome(
            "fail",
            f"the server refuses {view.user} from here: {answered[0].message}",
            object="here",
            observed=answered[0].request,
            expected="a line that lets it in",
            key="client_addresses",
            fix=(
                Fix("-- a line in pg_hba.conf; then SELECT pg_reload_conf();", "reload", _VERIFY),
            ),
        )
        return
    asked = ", ".join(f"{probe.request} ({probe.transport})" for probe in answered)
    raise UnreadError(error.gap, f"from here the server asks for {asked or 'nothing'}")


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
