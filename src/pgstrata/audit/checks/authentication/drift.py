"""Whether the server does what its file says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pgstrata.audit.checks.authentication.attempts import attempt_of, inside, own_address
from pgstrata.audit.checks.authentication.known import known
from pgstrata.audit.checks.authentication.simulated import Answer, answer, file_of
from pgstrata.audit.checks.pooled import behind_pooler
from pgstrata.audit.hba import Known, Rule, Transport
from pgstrata.audit.model import Check, Fix, Gap, Outcome, UnreadError
from pgstrata.audit.view import View

_SILENT = ("trust", "oauth")  # leave SYSTEM_USER empty: the first always, the other may


@dataclass(frozen=True, slots=True)
class _Compared:
    """One attempt: what the file says of it, and what the server did."""

    object: str
    said: Answer
    expected: str
    observed: str
    agree: bool
    message: str = ""


def drift(view: View) -> Iterator[Outcome]:
    """Compare what the file says of the audit's own attempts with what the server did."""
    if behind_pooler(view):
        raise UnreadError(Gap("a pooler stands between, and probes meet that, not the server"))
    # As if the file were in force: that it may not be is what this is to find out.
    lines = tuple(line for line in file_of(view) if not line.broken)
    facts = replace(known(view), unsettled="")
    compared = [*_by_probes(view, lines, facts), *_by_session(view, lines, facts)]
    decided = [one for one in compared if one.said.verdict.kind != "unknown"]
    if not decided:
        doubt = next((one.said.why for one in compared), "no attempt was answered")
        raise UnreadError(Gap(f"the file and the server cannot be compared: {doubt}"))
    differing = [one for one in decided if not one.agree]
    yield from map(_outcome, differing)
    if not differing:
        yield Outcome("ok", f"the file and the server agree on {len(decided)} attempts")


def _by_probes(view: View, lines: tuple[Rule, ...], facts: Known) -> Iterator[_Compared]:
    for name, probe in ({} if view.snapshot.probe is None else view.probes).items():
        if not probe.answered:
            continue
        transport: Transport = "tls" if name == "tls" else "plain"
        said = answer(lines, facts, attempt_of(view, own_address(view), transport))
        agree = probe.agrees(said.requests)
        expected = ", ".join(sorted(said.requests))
        yield _Compared(name, said, expected, probe.request, agree, probe.message)


def _by_session(view: View, lines: tuple[Rule, ...], facts: Known) -> Iterator[_Compared]:
    """Compare with the method that let the audit itself in; before 16 no server tells it."""
    for row in view.snapshot.facts.get("auth", ()):
        used = (row["system_user"] or _SILENT[0]).partition(":")[0]
        said = answer(lines, facts, inside(view, view.snapshot.viewer))
        method = said.rule.method if said.rule else "no_entry"
        agree = used == method or (used, method) == _SILENT
        yield _Compared("session", said, method, used, agree)


def _outcome(one: _Compared) -> Outcome:
    words = f"{one.said.rule.place}: {one.said.rule}" if one.said.rule else "no line matches"
    return Outcome(
        "fail",
        f"the file says {words} to {one.said.where}, and the server does {one.observed}",
        object=one.object,
        observed=one.observed,
        expected=one.expected,
        fix=(Fix("SELECT pg_reload_conf();  -- and look at the server's log", "reload"),),
        evidence=tuple(filter(None, (words, one.message))),
    )


CHECKS = (
    Check(
        "auth.drift",
        "fail",
        what="What the server asked of a probe, and the method by which it let the audit in"
        " (SYSTEM_USER, PostgreSQL 16 and newer), against what the file says of both.",
        why="The server works with other lines than those that everybody reads: the file was not"
        " read again, or was refused as a whole.",
        verify="SELECT pg_conf_load_time(); SELECT * FROM pg_hba_file_rules;",
        fix="Reload, and look for the server's complaint in its log.",
        ignore="Never.",
        cannot_see="Lines that neither touched; a server behind a pooler.",
        source="PostgreSQL documentation, pg_hba_file_rules.",
        find=drift,
    ),
)
