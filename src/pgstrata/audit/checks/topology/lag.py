"""How far standbys are behind."""

from __future__ import annotations

from collections.abc import Iterator

from pgstrata.audit.model import Check, Fix, Outcome, Status, UnreadError
from pgstrata.audit.view import View

_LATE = 30.0  # seconds
_NOISE = 8192  # bytes: what a quiet primary writes by itself, now and then
_STREAMING = "streaming"
_FOLLOW = Fix(
    "-- correct primary_conninfo of the standby, or let it reach its primary",
    "reload",
    "SELECT status, latest_end_time FROM pg_stat_wal_receiver;",
)
_FAR = 64 * 1024 * 1024  # bytes


def lag(view: View) -> Iterator[Outcome]:
    """Look how far standbys are behind: at a standby itself, or at its primary."""
    if view.in_recovery:
        yield from _at_standby(view)
        return
    for row in view.rows("replication"):
        name = str(row["application_name"])
        yield _behind(name, int(row["lag_bytes"] or 0), float(row["replay_lag"] or 0))


def _at_standby(view: View) -> Iterator[Outcome]:
    """Compare what was replayed with what was received, which says nothing where nothing is."""
    row = view.row("standby")
    waiting, behind = int(row["replay_bytes"] or 0), float(row["behind"] or 0)
    replay = _behind("replay", waiting, behind if waiting > _NOISE else 0)
    if row["paused"]:
        yield Outcome(
            "warn", "replay is paused", object="replay", observed="paused", expected="replaying"
        )
    if replay.status != "ok":
        yield replay
    streams = _receiver(view)
    yield streams
    if replay.status == streams.status == "ok":
        yield replay


def _receiver(view: View) -> Outcome:
    try:
        rows = view.rows("wal_receiver")
    except UnreadError as error:
        raise UnreadError(error.gap, "of what was received nothing may be missing") from None
    status = str(rows[0]["status"]) if rows else "none"
    streams = status == _STREAMING
    since = f", since {rows[0]['latest_end_time']}" if rows and not streams else ""
    return Outcome(
        "ok" if streams else "warn",
        "it receives from its primary"
        if streams
        else f"it receives nothing from a primary: its WAL receiver is {status}{since}",
        object="receiver",
        observed=status,
        expected=_STREAMING,
        fix=() if streams else (_FOLLOW,),
    )


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
        what="A standby that is more than 30 s or 64 MiB behind, whose replay is paused, or that"
        " receives nothing from a primary.",
        why="Who reads there sees the past, and a failover loses what it has not received.",
        verify="SELECT application_name, replay_lag FROM pg_stat_replication;  -- at the primary\n"
        "SELECT status FROM pg_stat_wal_receiver;  -- at the standby",
        fix="Look for a slow disk or network, a long query on the standby, or a paused replay:"
        " SELECT pg_wal_replay_resume();",
        ignore="For a standby that is late on purpose, by recovery_min_apply_delay, or that is fed"
        " from an archive alone.",
        cannot_see="Any other moment; on the standby itself, what it has not received yet.",
        source="PostgreSQL documentation, pg_stat_replication, pg_stat_wal_receiver; Recovery"
        " Information Functions.",
        find=lag,
    ),
)
