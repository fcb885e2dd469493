"""All topics over all servers of an environment."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pgstrata.model import Config
from pgstrata.recommend import access, capacity, network, sessions, sizing
from pgstrata.recommend.advice import Advice, Missing, Note, Recommendation, ServerAdvice
from pgstrata.recommend.server import Server, servers

TOPICS: tuple[Callable[[Server], Iterable[Advice | Missing | Note]], ...] = (
    network.listening,
    capacity.slots,
    network.tls,
    access.lines,
    capacity.role_limits,
    sessions.idle,
    sessions.keepalives,
    sessions.deadlocks,
    sizing.memory,
    sizing.processors,
    sizing.storage,
)


def recommend(config: Config, connection: str | None = None) -> Recommendation:
    """Return what an environment's servers should have; with ``connection``, only its server.

    All connections of a server count, whichever of them it was asked for by. Raises
    ``InvalidConfigError`` for addresses that are none, and ``ConfigError`` for a name that no line
    of pg_hba.conf can hold.
    """
    wanted = [
        server
        for server in servers(config)
        if connection is None or connection in (c.name for c in server.connections)
    ]
    return Recommendation(config.environment, tuple(map(_advise, wanted)))


def _advise(server: Server) -> ServerAdvice:
    # Of a server behind poolers alone, nothing is seen from here: not even that it is one machine.
    topics = TOPICS if server.direct else ()
    said = list(dict.fromkeys(item for topic in topics for item in topic(server)))
    pooled = tuple(_pooled(server))
    return ServerAdvice(
        server.name,
        tuple(connection.name for connection in server.connections),
        _merged(item for item in said if isinstance(item, Advice)),
        (*pooled, *(item for item in said if isinstance(item, Note))),
        tuple(item for item in said if isinstance(item, Missing)),
    )


def _merged(advice: Iterable[Advice]) -> tuple[Advice, ...]:
    """Keep each line once: connections may ask for the same, each with a place of its own."""
    found: dict[tuple[str, str], Advice] = {}
    for item in advice:
        found.setdefault((item.kind, item.line), item)
    return tuple(found.values())


def _pooled(server: Server) -> Iterable[Note]:
    for connection in server.pooled:
        yield Note(
            f"{connection.name} goes through a pooler ({connection.value('pooler')}): what address,"
            " role and number of connections the server sees is the pooler's, and it is not"
            " counted here",
            connection.place("pooler"),
        )
