"""One look at a server's clients, or at a program's pools, as text."""

from __future__ import annotations

from collections.abc import Iterable

from pgstrata.observe.activity import Activity, Client
from pgstrata.observe.exposition import Pool
from pgstrata.render.columns import columns

_CLIENTS = (
    *("APPLICATION", "USER", "CONNECTIONS", "ACTIVE", "IDLE", "IN TRANSACTION", "BLOCKED"),
    *("OLDEST TRANSACTION", "SETTINGS"),
)
_POOLS = (
    *("POOL", "TYPE", "USED", "IDLE", "MAX", "WAITING", "LEAKED", "ERRORS", "MEAN WAIT"),
    "MEAN USE",
)


def activity(environment: str, seen: Activity) -> str:
    """Return the clients in columns, below a line about the server."""
    head = (
        f"{environment}: database {_shown(seen.database)}, PostgreSQL {seen.version}, "
        f"{seen.connections} of {seen.allowed} connections"
    )
    rows = [_client(one) for one in seen.clients]
    lines = [head, "", columns(rows, header=_CLIENTS) if rows else "nobody else uses the database"]
    if hidden := sum(one.hidden for one in seen.clients):
        lines += ["", f"of {hidden} connections only members of pg_read_all_stats see the state"]
    if any(one.settings == "other" for one in seen.clients):
        lines += ["", "other: connected with other settings than those that are read here"]
    return "\n".join(lines)


def pools(found: Iterable[Pool]) -> str:
    """Return the pools in columns."""
    rows = [_pool(one) for one in found]
    return columns(rows, header=_POOLS) if rows else "no pools of pgstrata are shown there"


def _client(one: Client) -> tuple[str, ...]:
    counts = (one.active, one.idle, one.in_transaction, one.blocked)
    states = ("?",) * 4 if one.hidden == one.connections else map(str, counts)
    return (
        *(_shown(one.application) or "-", _shown(one.user) or "-", str(one.connections), *states),
        *(f"{one.longest:.1f} s" if one.longest else "-", one.settings or "-"),
    )


def _pool(one: Pool) -> tuple[str, ...]:
    counts = (one.used, one.idle, one.max_size, one.waiting, one.leaked, one.errors)
    means = (f"{seconds * 1000:.2f} ms" for seconds in (one.wait, one.use))
    return _shown(one.name), _shown(one.connection_type), *map(str, counts), *means


def _shown(text: str) -> str:
    """Return a text that others chose without what would steer the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)
