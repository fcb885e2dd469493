"""Slots of the server and of its standbys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pgstrata.audit.checks.pooled import behind_pooler
from pgstrata.audit.model import Check, Fix, Outcome, Status, UnreadError
from pgstrata.audit.remedy import for_client, for_server
from pgstrata.audit.view import Fleet, View
from pgstrata.capacity import with_spare

_FOLLOWED = (
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
)


def free_slots(view: View) -> int:
    """Return how many sessions the program's role may have: some are reserved for superusers, some
    for members of pg_use_reserved_connections. Raises ``UnreadError``.
    """
    free = view.count("max_connections")
    if any(row["rolsuper"] for row in view.rows("role")):
        return free
    free -= view.count("superuser_reserved_connections")
    held = {row["role"] for row in view.rows("memberships")}
    if view.has("reserved_connections") and "pg_use_reserved_connections" not in held:
        free -= view.count("reserved_connections")
    return free


def others(view: View) -> int:
    """Return the connections of other programs: as declared, or else as many as there are now."""
    try:
        return int(view.declared("other_connections"))
    except UnreadError:
        roles = {demand.role for demand in view.demands}
        rows = view.rows("connections")
        return sum(row["n"] for row in rows if row["usename"] not in roles)


def on_standbys_first(most: int) -> Fix:
    """Return what goes before a larger max_connections: replay stops where a standby has fewer."""
    return Fix(f"-- on every standby first: max_connections = {most}", "restart")


def slots(view: View) -> Iterator[Outcome]:
    """Compare all that may connect with the slots of the server."""
    if behind_pooler(view):
        return
    demand, other, free = view.demand, others(view), free_slots(view)
    most, total = view.count("max_connections"), demand + other
    # Undeclared programs live on the spare tenth: a server as `recommend` has it is in order.
    said = other if view.client.value("server.other_connections") is not None else 0
    tight = with_spare(demand) + said > free
    status: Status = "fail" if total > free else "warn" if tight else "ok"
    needed = with_spare(demand) + other + most - free
    fix = (
        on_standbys_first(needed),
        *for_server(view, "max_connections", str(needed)),
        for_client(view, "pool_settings: {max_size: …}, smaller; or a pooler between"),
    )
    yield Outcome(
        status,
        f"the services may open {demand} connections, others have {other}, and there are {free}"
        f" slots",
        observed=f"{free} slots",
        expected=f"{max(total, with_spare(demand) + said)} at least",
        key="services",
        fix=() if status == "ok" else fix,
        evidence=(
            str(view.server("max_connections")),
            f"{most - free} of them reserved",
            *(f"{d.service}: {d.formula} = {d.most}" for d in view.demands),
        ),
    )


def standby_first(fleet: Fleet) -> Iterator[tuple[View, Iterator[Outcome]]]:
    """Compare each standby with the primary of the same cluster."""
    clusters = fleet.by_cluster()
    yield from ((view, _standby(view, clusters)) for view in fleet)


def _standby(view: View, clusters: Mapping[str, tuple[View, ...]]) -> Iterator[Outcome]:
    if view.in_recovery:
        cluster = clusters[str(view.row("control")["system_identifier"])]
        for primary in [other for other in cluster if not other.in_recovery][:1]:
            yield from _behind(view, primary)


def _behind(standby: View, primary: View) -> Iterator[Outcome]:
    low = [name for name in _FOLLOWED if standby.count(name) < primary.count(name)]
    for name in low:
        wanted = primary.count(name)
        yield Outcome(
            "fail",
            f"{name} is lower than on the primary {primary.snapshot.endpoint}: replay stops, and"
            " after a restart the standby does not start",
            object=name,
            observed=str(standby.count(name)),
            expected=f"{wanted} at least",
            fix=for_server(standby, name, str(wanted)),
            evidence=(str(standby.server(name)), f"primary: {primary.server(name)}"),
        )
    if not low:
        yield Outcome("ok", "nothing that replay needs is lower than on the primary")


CHECKS = (
    Check(
        "cap.slots",
        "fail",
        what="All services at their largest, with what others hold, against max_connections less"
        " the reserved slots. A warning where less than a tenth of the services' own is spare,"
        " which is what `recommend` gives them. Needs `services`.",
        why="Whoever comes last is refused: `sorry, too many clients already`, most likely during"
        " a deployment, when old and new replicas run side by side.",
        verify="SELECT name, setting FROM pg_settings WHERE name IN ('max_connections',"
        " 'superuser_reserved_connections', 'reserved_connections');",
        fix="Smaller pools, fewer processes, a pooler, or a larger max_connections: of all"
        " standbys first, then of the primary.",
        ignore="When the services never reach their largest size together, and somebody watches.",
        cannot_see="Programs that are not connected now and not in `server.other_connections`.",
        source="PostgreSQL documentation, Connections and Authentication: max_connections,"
        " superuser_reserved_connections, reserved_connections.",
        find=slots,
    ),
    Check(
        "cap.standby_first",
        "fail",
        what="max_connections, max_worker_processes, max_wal_senders, max_prepared_transactions"
        " and max_locks_per_transaction of a standby against those of its primary.",
        why="Replay stops when the primary has more of one of them, and the standby does not start"
        " again: the failover that was paid for is not there.",
        verify="SELECT name, setting FROM pg_settings WHERE name IN ('max_connections',"
        " 'max_worker_processes', 'max_wal_senders', 'max_prepared_transactions',"
        " 'max_locks_per_transaction');",
        fix="Raise it on the standby first, restart that, then the primary. Lower it the other way"
        " round.",
        ignore="Never.",
        cannot_see="A primary or a standby that no configured connection leads to.",
        source="PostgreSQL documentation, Hot Standby: Administrator's Overview.",
        compare=standby_first,
    ),
)
