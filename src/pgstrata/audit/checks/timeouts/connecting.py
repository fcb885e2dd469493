"""How long connecting may take."""

from __future__ import annotations

from collections.abc import Iterator

from pgstrata.audit.model import Check, Outcome
from pgstrata.audit.remedy import for_client
from pgstrata.audit.view import View

_SHORTEST = 2  # seconds: libpq reads a connect_timeout of 1 as this
_KEY = "connection_settings.connect_timeout"


def connect(view: View) -> Iterator[Outcome]:
    """Compare a pool's patience with that of connecting, and both with the server's."""
    each = view.client.keyword("connect_timeout")
    if not isinstance(each, int) or not each:
        return
    tried = max(len(view.client.hosts), 1) + _addresses(view) - 1
    needed = tried * max(each, _SHORTEST)
    for _, section in view.client.pools():
        patience = view.client.value(f"{section}.timeout")
        short = isinstance(patience, int | float) and patience < needed
        yield Outcome(
            "warn" if short else "ok",
            f"{section}.timeout is {patience:g} s, and {tried} addresses may take {needed} s",
            object=section,
            observed=f"{patience:g} s",
            expected=f"{needed} s at least",
            key=f"{section}.timeout",
            fix=(for_client(view, f"{section}: {{timeout: {needed + 1}}}"),) if short else (),
        )
    limit = view.server("authentication_timeout")
    late = each > limit.number
    yield Outcome(
        "info" if late else "ok",
        f"connect_timeout is {each} s, and the server ends a login after {limit.shown}",
        object="authentication_timeout",
        observed=f"{each} s",
        expected=f"{limit.shown} at most",
        key=_KEY,
        evidence=(str(limit),),
    )


def _addresses(view: View) -> int:
    """Return how many addresses this host has, as far as anybody has looked."""
    seen = view.snapshot.facts.get("client") or ({},)
    return int(seen[0].get("addresses", 1))


def none(view: View) -> Iterator[Outcome]:
    """Find a client that waits for a dead host without end."""
    if view.client.local:
        return
    endless = not view.client.keyword("connect_timeout")
    yield Outcome(
        "warn" if endless else "ok",
        "a dead host is waited for without end" if endless else "connecting ends in time",
        observed=f"{view.client.keyword('connect_timeout') or 0} s",
        expected="a few seconds",
        key=_KEY,
        fix=(for_client(view, "connection_settings: {connect_timeout: 5}"),) if endless else (),
    )


CHECKS = (
    Check(
        "to.connect",
        "warn",
        what="A pool's timeout against connect_timeout times the number of hosts, and of addresses"
        " that the host has; and connect_timeout against the server's authentication_timeout.",
        why="connect_timeout counts for each host and each address of it; while the first is down,"
        " callers give up before the next is tried. A client that waits longer than the server"
        " only sees it hang up.",
        verify="SHOW authentication_timeout;",
        fix="A longer pool timeout, or a shorter connect_timeout; libpq reads 1 as 2.",
        ignore="When the hosts never are down together.",
        cannot_see="How many addresses the other hosts have, and this one elsewhere or later.",
        source="libpq documentation: connect_timeout.",
        find=connect,
    ),
    Check(
        "to.none",
        "warn",
        what="connect_timeout is 0.",
        why="A host that drops packets holds the program for minutes, until the system gives up.",
        fix="`connect_timeout: 5`.",
        ignore="Over a Unix socket.",
        cannot_see="Nothing: it is the client's own.",
        source="libpq documentation: connect_timeout.",
        find=none,
    ),
)
