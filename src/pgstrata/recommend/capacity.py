"""Slots: how many connections the server has to admit, and how many of them each role may have."""

from __future__ import annotations

from collections.abc import Iterator

from pgstrata.capacity import Demand, declared, demands, with_spare
from pgstrata.model import Origin
from pgstrata.recommend.advice import Advice, Missing, Note
from pgstrata.recommend.server import Server, places, servers
from pgstrata.statements import identifier

RESERVED = 3  # superuser_reserved_connections, PostgreSQL's own default
LEAST = 100  # max_connections, PostgreSQL's own default

_EXAMPLE = """\
services:
- name: web
  processes: 4
  replicas: 3
  surge: 1"""


def slots(server: Server) -> Iterator[Advice | Missing | Note]:
    """Say how many connections the server has to admit for all services together."""
    asked = _asked(server)
    services = server.config.settings.get("services")
    yield from (Note(e.problem, e.origin) for e in declared(server.config) if e.problem)
    yield from _uncounted(server)
    most = max_connections(server)
    if most is None or services is None:
        return
    limits = _limits(asked)
    counted = [f"{role or '?'}: {_formula(_of(asked, role))}" for role in limits]
    others, places_of_others = _others(server)
    sums = " + ".join(map(str, limits.values())) + (f" + {others} others" if others else "")
    origins = (services.origin, *_sizes(server, asked), *places_of_others)
    yield Advice(
        "conf",
        f"max_connections = {most}",
        "at least: room for all services at once, a tenth to spare, and the slots that stay"
        " reserved. Keep a larger value; programs that server.other_connections does not count"
        " come on top. A standby needs at least what its primary has, and gets it first",
        "restart",
        "; ".join([*counted, f"max({LEAST}, {sums} + {RESERVED} reserved) = {most}"]),
        origins,
    )
    yield Advice(
        "conf",
        f"superuser_reserved_connections = {RESERVED}",
        "so that an administrator still gets in when all other slots are taken",
        "restart",
    )


def role_limits(server: Server) -> Iterator[Advice]:
    """Say how many connections each role may have, so that one cannot take those of another."""
    # A pooler opens as many as it is told to, under the role of its clients.
    pooled = {c.keyword("user") for c in server.pooled}
    for role in _limits(_asked(server)):
        if role and role not in pooled:
            there, limit = _busiest(server, role)
            mine = _of(_asked(there), role)
            yield Advice(
                "sql",
                f"ALTER ROLE {identifier(role)} CONNECTION LIMIT {limit};",
                "a service that leaks connections runs into its own limit, and not into the"
                " server's",
                "new sessions",
                _formula(mine),
                _sizes(there, mine),
            )


def max_connections(server: Server) -> int | None:
    """Return the least ``max_connections``, or None where no service is declared for the server.

    The sum of ceil(1.1 * demand) of each role, the declared connections of other programs and the
    reserved slots; PostgreSQL's default of 100 where that is more. As each role's limit counts in
    full, all may use theirs at once.
    """
    limits = _limits(_asked(server))
    return max(LEAST, sum(limits.values()) + _others(server)[0] + RESERVED) if limits else None


def demand_of(server: Server) -> int:
    """Return how many connections the services may open to the server at worst."""
    return sum(demand.most for demand in _asked(server))


def _asked(server: Server) -> list[Demand]:
    names = {connection.name for connection in server.direct}
    return [d for d in demands(server.config) if d.connection in names and d.most]


def _limits(asked: list[Demand]) -> dict[str, int]:
    most: dict[str, int] = {}
    for demand in asked:
        most[demand.role] = most.get(demand.role, 0) + demand.most
    return {role: with_spare(count) for role, count in most.items()}


def _others(server: Server) -> tuple[int, tuple[Origin, ...]]:
    """Return how many connections of other programs are declared, and where."""
    count, origins = server.declared("server.other_connections")
    return (count, origins) if isinstance(count, int) else (0, ())


def _busiest(server: Server, role: str) -> tuple[Server, int]:
    """Return the server of the environment that a role needs most connections of, and how many.

    Another name may be a standby, which has the roles of its primary and so their limits.
    """
    limits = [(there, _limits(_asked(there)).get(role, 0)) for there in servers(server.config)]
    return max(limits, key=lambda pair: pair[1])


def _of(asked: list[Demand], role: str) -> list[Demand]:
    return [demand for demand in asked if demand.role == role]


def _formula(asked: list[Demand]) -> str:
    """Return how the limit of one role comes about."""
    parts = " + ".join(f"{d.service} {d.formula}" for d in asked)
    (limit,) = _limits(asked).values()
    return f"{parts} = {sum(d.most for d in asked)}, and a tenth to spare = {limit}"


def _sizes(server: Server, asked: list[Demand]) -> tuple[Origin, ...]:
    """Return the places of the sizes that were counted, each once."""
    there = {connection.name: connection for connection in server.connections}
    found = (places([there[d.connection]], key) for d in asked for key in d.keys)
    return tuple(dict.fromkeys(place for some in found for place in some))


def _uncounted(server: Server) -> Iterator[Missing]:
    """Ask for the services of connections that none uses."""
    used = {demand.connection for demand in demands(server.config)}
    unused = [c.name for c in server.direct if c.name not in used]
    if unused:
        yield Missing(
            "services",
            f"nothing says how many connections are opened through {', '.join(unused)}",
            _EXAMPLE + (f"\n  connection: {unused[0]}" if "default" not in unused else ""),
        )
