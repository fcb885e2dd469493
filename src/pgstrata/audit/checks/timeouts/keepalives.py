"""How long either end takes to notice that the other is gone."""

from __future__ import annotations

from collections.abc import Iterator

from pgstrata.audit.model import Check, Outcome
from pgstrata.audit.remedy import for_client, for_program
from pgstrata.audit.view import View

# What Linux does where nothing is set: the first keepalive after two hours (tcp(7)).
_IDLE, _INTERVAL, _COUNT = 7200, 75, 9
_LONGEST = 1800  # seconds that a lost client may keep its locks and its slot
_WANTED = {
    "tcp_keepalives_idle": "60",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "6",
}


def client(view: View) -> Iterator[Outcome]:
    """Compare the client's keepalives with what lies between."""
    if not _matters(view):
        return
    yield _in_flight(view)
    limit = int(view.declared("idle_limit"))
    off = view.client.keyword("keepalives") == 0
    idle = int(str(view.client.keyword("keepalives_idle") or _IDLE))
    late = off or idle >= limit
    line = f"connection_settings: {{keepalives_idle: {max(limit // 2, 1)}}}"
    first = "no keepalive is sent" if off else f"the first keepalive comes after {idle} s"
    yield Outcome(
        "warn" if late else "ok",
        f"{first}, and what lies between forgets a silent connection after {limit} s",
        object="keepalives_idle",
        observed="off" if off else f"{idle} s",
        expected=f"below {limit} s",
        key="server.idle_limit",
        fix=(for_client(view, line),) if late else (),
    )


def _in_flight(view: View) -> Outcome:
    given = view.client.keyword("tcp_user_timeout")
    line = "connection_settings: {tcp_user_timeout: 15000}"
    return Outcome(
        "ok" if given else "info",
        f"tcp_user_timeout is {given} ms"
        if given
        else "a query that was sent to a server that is"
        " gone is waited for some 15 minutes: tcp_user_timeout is left to the system",
        object="tcp_user_timeout",
        observed=f"{given} ms" if given else "0",
        expected="some 15000 ms",
        key="connection_settings.tcp_user_timeout",
        fix=() if given else (for_client(view, line),),
    )


def server(view: View) -> Iterator[Outcome]:
    """Compute how long the server keeps a session whose client is gone."""
    if not _matters(view):
        return
    idle, interval, count = (view.session(name) for name in _WANTED)
    total = (idle.number or _IDLE) + (interval.number or _INTERVAL) * (count.number or _COUNT)
    slow = total > _LONGEST
    yield Outcome(
        "warn" if slow else "ok",
        f"the server notices a lost client after {total:.0f} s; so long it keeps slot and locks",
        object="tcp_keepalives_idle",
        observed=f"{total:.0f} s",
        expected=f"{_LONGEST} s at most",
        fix=tuple(for_program(view, *pair) for pair in _WANTED.items()) if slow else (),
        evidence=(str(idle), str(interval), str(count)),
    )
    if view.has("client_connection_check_interval"):
        yield _while_busy(view)


def _while_busy(view: View) -> Outcome:
    name = "client_connection_check_interval"
    said = view.session(name)
    return Outcome(
        "ok" if said.number else "info",
        f"{name} is {said.shown}"
        + ("" if said.number else ": a query goes on after its client is gone"),
        object=name,
        observed=said.shown,
        expected="some 10s",
        fix=() if said.number else (for_program(view, name, "10s"),),
        evidence=(str(said),),
    )


def _matters(view: View) -> bool:
    """Tell whether anything lies between that can lose a connection."""
    return view.tcp and (view.remote or view.client.value("server.idle_limit") is not None)


CHECKS = (
    Check(
        "ka.client",
        "warn",
        what="The client's first keepalive against `server.idle_limit`, and tcp_user_timeout.",
        why="Load balancers, NAT and firewalls forget a silent connection without telling anyone:"
        " the next query hangs.",
        fix="`keepalives_idle` below the limit, e.g. half of it; `tcp_user_timeout: 15000`.",
        ignore="When nothing lies between.",
        cannot_see="The limit, unless it is declared; what the system sets where the client says"
        " 0: two hours are assumed, as Linux has it.",
        source="libpq documentation: keepalives_idle, tcp_user_timeout; tcp(7).",
        find=client,
    ),
    Check(
        "ka.server",
        "warn",
        what="tcp_keepalives_idle + tcp_keepalives_interval * tcp_keepalives_count of the server's"
        " end, and client_connection_check_interval.",
        why="A session whose client vanished keeps its slot and its locks until the server notices;"
        " by default after 7875 s.",
        verify="SHOW tcp_keepalives_idle;  -- over TCP",
        fix="ALTER ROLE … SET; it needs no restart.",
        ignore="When clients and server share a machine.",
        cannot_see="A proxy between, which the server's keepalives reach instead of the client.",
        source="PostgreSQL documentation, Connections and Authentication: TCP Settings.",
        find=server,
    ),
)
