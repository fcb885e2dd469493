"""How far standbys are behind."""

from __future__ import annotations

from collections.abc import Iterator

from pgstrata.audit.model import Check, Outcome, Status
from pgstrata.audit.view import View

_LATE = 30.0  # seconds
_NOISE = 8192  # bytes: what a quiet primary writes by itself, now and then
_FAR = 64 * 1024 * 1024  # bytes


def lag(view: View) -> Iterator[Outcome]:
    """Look how far standbys are behind: at a standby itself, or at its primary."""
    if view.in_recovery:
        row = view.row("standby")
        waiting, behind = int(row["replay_bytes"] or 0), float(row["behind"] or 0)
        if row["paused"]:
            yield Outcome(
                "warn", "replay is paused", object="replay", observed="paused", expected="replaying"
            )
        yield _behind("replay", waiting, behind if waiting > _NOISE else 0)
        return
    for row in view.rows("replication"):
        name = str(row["application_name"])
        yield _behind(name, int(row["lag_bytes"] or 0), float(row["replay_lag"] or 0))


def _behind(name: str, amount: int, seconds: float) -> Outcome:
    late: Status = "warn" if amount > _FAR or seconds > _LATE else "ok"
    seen = f"{amount / 1024 / 1024:.1f} MiB and {seconds:.0f} s behind"
    return Outcome(
        late,
        f"{name} is {seen}",
        object=name,
        observed=seen,
        expected=f"{_FAR // 1024 // 1024} MiB and {_LATE:.0f} s at most",
    )


CHECKS = (
    Check(
        "topo.lag",
        "warn",
        what="A standby that is more than 30 s or 64 MiB behind, or whose replay is paused.",
        why="Who reads there sees the past, and a failover loses what it has not received.",
        verify="SELECT application_name, replay_lag FROM pg_stat_replication;",
        fix="Look for a slow disk or network, a long query on the standby, or a paused replay:"
        " SELECT pg_wal_replay_resume();",
        ignore="For a standby that is late on purpose: recovery_min_apply_delay.",
        cannot_see="Any other moment; on the standby itself, what it has not received yet.",
        source="PostgreSQL documentation, pg_stat_replication; Recovery Information Functions.",
        find=lag,
    ),
)
