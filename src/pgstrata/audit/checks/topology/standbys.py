"""Primaries and standbys against what the client asks for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pgstrata.audit.model import Check, Gap, Outcome, UnreadError
from pgstrata.audit.remedy import for_client
from pgstrata.audit.view import Fleet, View

_ATTRS = "connection_settings.target_session_attrs"
_WRITES = ("read-write", "primary")
_NEEDS_PRIMARY = ("", "any", *_WRITES)


def role(fleet: Fleet) -> Iterator[tuple[View, Iterator[Outcome]]]:
    """Compare what answers with target_session_attrs, over all hosts of a connection."""
    for views in fleet.by_connection():
        yield from ((view, _role(view, views, fleet.unreached(view))) for view in views)


def _role(view: View, views: tuple[View, ...], unreached: tuple[View, ...]) -> Iterator[Outcome]:
    wanted = _wanted(view)
    if not wanted:
        yield _unasked(view)
    elif any(_serves(other, wanted) for other in views):
        yield _fits(view, wanted)
    elif unreached:
        raise UnreadError(
            Gap(f"{_named(unreached)} could not be looked at, and may be what is asked for"),
            f"this is {_kind(view)}, and the client asks for {wanted}",
        )
    else:
        yield _wrong(view, wanted)


def _wanted(view: View) -> str:
    return str(view.client.keyword("target_session_attrs") or "")


def _named(views: Iterable[View]) -> str:
    return ", ".join(view.snapshot.endpoint for view in views)


def _serves(view: View, wanted: str) -> bool:
    """Tell whether libpq would take this server."""
    read_only = view.in_recovery or view.row("identity")["default_ro"] == "on"
    return {
        "read-write": not read_only,
        "read-only": read_only,
        "primary": not view.in_recovery,
        "standby": view.in_recovery,
    }.get(wanted, True)


def _kind(view: View) -> str:
    if view.in_recovery:
        return "a standby"
    return "read-only" if view.row("identity")["default_ro"] == "on" else "a primary"


def _fits(view: View, wanted: str) -> Outcome:
    taken = "" if _serves(view, wanted) else ", and another host is taken"
    return Outcome("ok", f"{_kind(view)}{taken}", observed=_kind(view), expected=wanted, key=_ATTRS)


def _wrong(view: View, wanted: str) -> Outcome:
    right = "primary" if wanted in _WRITES else "standby"
    line = f"connection_settings: {{host: …}}: add the {right}'s host"
    return Outcome(
        "fail",
        f"the client asks for {wanted}, and this is {_kind(view)}: it cannot connect",
        observed=_kind(view),
        expected=wanted,
        key=_ATTRS,
        fix=(for_client(view, line, "SELECT pg_is_in_recovery();"),),
        evidence=(f"pg_is_in_recovery() = {view.in_recovery}".lower(),),
    )


def _unasked(view: View) -> Outcome:
    writable = _serves(view, "read-write")
    line = (
        "connection_settings: {target_session_attrs: read-write}, and the primary among the hosts"
    )
    return Outcome(
        "ok" if writable else "fail" if view.client.protected else "warn",
        f"this is {_kind(view)}" + ("" if writable else ", and any is taken: every write fails"),
        observed=_kind(view),
        expected="a primary",
        key="connection_settings.host",
        fix=() if writable else (for_client(view, line, "SELECT pg_is_in_recovery();"),),
        evidence=(f"pg_is_in_recovery() = {view.in_recovery}".lower(),),
    )


def no_primary(fleet: Fleet) -> Iterator[tuple[View, Iterator[Outcome]]]:
    """Count the primaries among the hosts of one connection."""
    for views in fleet.by_connection():
        if len(views[0].client.hosts) > 1:  # one host is topo.role's
            primaries = tuple(view for view in views if not view.in_recovery)
            yield from (
                (view, _counted(view, views, primaries, fleet.unreached(view)))
                for view in primaries or views
            )


def _counted(
    view: View, views: tuple[View, ...], primaries: tuple[View, ...], unreached: tuple[View, ...]
) -> Iterator[Outcome]:
    names = _named(primaries)
    if len(primaries) > 1:
        told = "what one is told the others do not know"
        yield _not_one(view, f"{len(primaries)} primaries: {names}: {told}", names)
    elif not primaries and _wanted(view) not in _NEEDS_PRIMARY:
        yield Outcome("ok", f"no primary, and the client asks for {_wanted(view)}", key=_ATTRS)
    elif unreached:
        inferred = f"the only primary of the others is {names}" if primaries else ""
        gap = Gap(f"{_named(unreached)} could not be looked at, and may be a primary")
        raise UnreadError(gap, inferred or "none of the others is one")
    elif primaries:
        yield Outcome("ok", "the only primary")
    else:
        yield _not_one(view, f"none of the {len(views)} hosts is a primary", "standby")


def _not_one(view: View, message: str, observed: str) -> Outcome:
    return Outcome(
        "fail",
        message,
        observed=observed,
        expected="one primary",
        key="connection_settings.host",
        evidence=_lines(view),
    )


def _lines(view: View) -> tuple[str, ...]:
    control = (view.snapshot.facts.get("control") or ({},))[0]
    return tuple(f"{name} = {value}" for name, value in sorted(control.items()))


CHECKS = (
    Check(
        "topo.role",
        "fail",
        what="Each host that answers against target_session_attrs; and where that is not set,"
        " whether the host takes writes.",
        why="With target_session_attrs the client refuses the wrong kind of server; without it the"
        " first write fails: `cannot execute … in a read-only transaction`.",
        verify="SELECT pg_is_in_recovery(); SHOW default_transaction_read_only;",
        fix="All hosts of the cluster in `host`, and `target_session_attrs`.",
        ignore="For a connection that only reads: say `target_session_attrs: any`.",
        cannot_see="Hosts that did not answer: unknown, where the right one may be among them.",
        source="libpq documentation: target_session_attrs.",
        compare=role,
    ),
    Check(
        "topo.no_primary",
        "fail",
        what="Of several hosts of one connection, none or more than one is a primary. None is"
        " needed where target_session_attrs asks for a standby.",
        why="Without a primary nothing can be written; with two, each has what the other has not.",
        verify="SELECT pg_is_in_recovery(); SELECT timeline_id FROM pg_control_checkpoint();",
        fix="Promote one standby; stop and rebuild the primary that should not be.",
        ignore="For hosts that were meant to be separate servers: give them a connection each.",
        cannot_see="Hosts that did not answer: unknown, where one of them may be a primary.",
        source="PostgreSQL documentation, High Availability: Failover.",
        compare=no_primary,
    ),
)
