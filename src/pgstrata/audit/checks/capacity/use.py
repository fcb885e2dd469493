"""What is connected at this moment, and what was lost."""

from __future__ import annotations

from collections.abc import Iterator

from pgstrata.audit.checks.capacity.slots import free_slots
from pgstrata.audit.model import Check, Gap, Outcome, UnreadError
from pgstrata.audit.view import View

_FULL = 0.8
_TOO_MANY = "53300"  # SQLSTATE too_many_connections


def headroom_now(view: View) -> Iterator[Outcome]:
    """Count the sessions of this moment; a server that is full says so to a probe."""
    for probe in (view.snapshot.probe or {}).values():
        if probe["code"] == _TOO_MANY:
            yield Outcome("fail", f"the server refuses everybody: {probe['message']}", "now")
            return
    if not view.row("caps")["all_stats"]:
        grant = f"GRANT pg_read_all_stats TO {view.viewer};"
        known = sum(row["n"] for row in view.rows("connections"))
        gap = Gap("which sessions are clients is shown to members of pg_read_all_stats", grant)
        raise UnreadError(gap, f"{known} sessions of any kind are connected")
    used, free = sum(row["n"] for row in view.rows("connections")), free_slots(view)
    full = used >= _FULL * free
    names = sorted(view.rows("connections"), key=lambda row: -row["n"])[:5]
    yield Outcome(
        "warn" if full else "ok",
        f"{used} of {free} slots are in use",
        observed=str(used),
        expected=f"below {_FULL:.0%} of {free}",
        evidence=tuple(
            f"{row['n']} of {row['usename']} {row['application_name']} {row['state'] or ''}".strip()
            for row in names
        ),
    )


def ghosts(view: View) -> Iterator[Outcome]:
    """Count the program's own sessions against what it may open."""
    name = view.client.keyword("application_name")
    if not name or not view.tcp or view.client.value("pooler"):
        return
    own = {d.connection for d in view.demands}
    if view.client.name not in own:
        return
    wanted = sum(d.most for d in view.demands if d.connection == view.client.name)
    rows = [r for r in view.rows("connections") if r["application_name"] == name]
    there = sum(row["n"] for row in rows if row["usename"] == view.user)
    yield Outcome(
        "info" if there > wanted else "ok",
        f"{there} sessions call themselves {name}, and the services open {wanted} at most",
        object=str(name),
        observed=str(there),
        expected=f"{wanted} at most",
        key="services",
    )


def lost(view: View) -> Iterator[Outcome]:
    """Report sessions that ended without a goodbye."""
    row = view.row("session_stats")
    gone, killed = row["sessions_abandoned"], row["sessions_killed"]
    since = str(row["stats_reset"] or "the first start")[:19]
    yield Outcome(
        "info" if gone or killed else "ok",
        f"of {row['sessions']} sessions since {since}, {gone} were lost and {killed} were ended",
        object=view.dbname,
        observed=f"{gone} lost, {killed} ended",
        expected="none",
    )


CHECKS = (
    Check(
        "cap.headroom_now",
        "fail",
        what="Sessions that are connected at the moment of the audit: a warning from 80 % of the"
        " slots on, a fault where the server takes no more.",
        why="Little is left for the next deployment, for people and for backups.",
        verify="SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend';",
        fix="Find who holds them: the evidence lists the largest groups.",
        ignore="When the moment was a peak that is known.",
        cannot_see="Any other moment.",
        source="PostgreSQL documentation, pg_stat_activity.",
        find=headroom_now,
    ),
    Check(
        "cap.ghosts",
        "info",
        what="More sessions with the program's application_name than its services may open.",
        why="An old deployment still runs, a process leaks connections, or the services are"
        " declared smaller than they are.",
        verify="SELECT pid, client_addr, backend_start, state FROM pg_stat_activity"
        " WHERE application_name = '…';",
        fix="Stop what should not run, or correct `services`.",
        ignore="While a deployment takes place that `surge` does not count.",
        cannot_see="Programs that use another application_name.",
        source="PostgreSQL documentation, pg_stat_activity: application_name.",
        find=ghosts,
    ),
    Check(
        "cap.lost",
        "info",
        what="Sessions whose client went away, and sessions that somebody ended, since the"
        " statistics were reset. PostgreSQL 14 and newer.",
        why="A network that drops connections, processes that are killed, or a timeout on the way.",
        verify="SELECT sessions_abandoned, sessions_killed, stats_reset FROM pg_stat_database"
        " WHERE datname = current_database();",
        fix="Look for what lies between: see ka.client.",
        ignore="When the number does not grow.",
        cannot_see="When they were lost, and of which program they were.",
        source="PostgreSQL documentation, pg_stat_database.",
        find=lost,
    ),
)
