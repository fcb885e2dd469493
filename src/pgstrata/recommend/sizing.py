"""Memory and processors: starting points from what is declared of the machine, never guessed.

The shares of memory are those that PGTune and PostgreSQL's own documentation give for a machine of
its own. That the defaults are still in place is what matters, not the exact number.
"""

from __future__ import annotations

from collections.abc import Iterator

from pgstrata import sizing
from pgstrata.check.scope import SESSION_SECTIONS, reading
from pgstrata.model import Origin
from pgstrata.recommend.advice import Advice, Applies, Missing, Note
from pgstrata.recommend.capacity import demand_of, max_connections
from pgstrata.recommend.server import Server
from pgstrata.schema import parameters

_PER_CPU = 10  # connections; with more, they mostly wait for each other
_HASH = 2  # hash_mem_multiplier, PostgreSQL's own default since 15
_START = "a starting point for a machine that the server has to itself"


def memory(server: Server) -> Iterator[Advice | Missing | Note]:
    """Share the declared memory out."""
    said, origins = server.declared("server.memory")
    if said is None:
        why = "shared_buffers, work_mem and the like follow from the machine's memory"
        yield server.undeclared("server.memory", why, "server:\n  memory: 16GB")
        return
    ram, workload = (
        parameters.kilobytes(str(said)),
        str(server.declared("server.workload")[0] or "web"),
    )
    buffers = sizing.shared_buffers(ram, workload)
    yield _share("shared_buffers", buffers, str(said), origins, "restart")
    cache = sizing.effective_cache_size(ram, workload)
    yield _share("effective_cache_size", cache, str(said), origins)
    maintenance = sizing.maintenance_work_mem(ram, workload)
    yield _share("maintenance_work_mem", maintenance, str(said), origins)
    slots = max_connections(server)
    if slots is not None:
        each = sizing.work_mem(ram, slots, workload=workload)
        yield _share("work_mem", each, str(said), origins)
    yield from _overcommitted(server, ram - buffers.kilobytes)


def processors(server: Server) -> Iterator[Missing | Note]:
    """Say where more connections are asked for than the declared processors can serve."""
    said, origins = server.declared("server.cpus")
    most = demand_of(server)
    if said is None:
        why = "whether the services ask for more than the machine can do at a time"
        yield server.undeclared("server.cpus", why, "server:\n  cpus: 8")
    elif isinstance(said, int) and most > _PER_CPU * said:
        yield Note(
            f"the services may open {most} connections, more than {_PER_CPU} * {said} CPUs: put"
            " a pooler between, or make the pools smaller, rather than raise max_connections",
            origins[0],
        )


def storage(server: Server) -> Iterator[Advice | Missing]:
    """Say what a random read costs, compared with one in order."""
    said, origins = server.declared("server.storage")
    if said is None:
        why = "what a random read costs is not the same on a disk and on an SSD"
        yield server.undeclared("server.storage", why, "server:\n  storage: ssd")
    elif said == "ssd" and server.declared("server.workload")[0] != "dw":
        why = "on an SSD a random read costs hardly more than one in order"
        yield Advice("conf", "random_page_cost = 1.1", why, "reload", origins=origins)


def _share(
    name: str,
    amount: sizing.Amount,
    memory: str,
    origins: tuple[Origin, ...],
    applies: Applies = "reload",
) -> Advice:
    formula = f"{amount.formula.replace('memory', memory)} = {amount}"
    return Advice("conf", f"{name} = {amount}", _START, applies, formula, origins)


def _overcommitted(server: Server, free: int) -> Iterator[Note]:
    """Find a ``work_mem`` of the client that its connections together cannot have."""
    for connection in server.direct:
        for section in SESSION_SECTIONS:
            key = f"{section}.work_mem"
            each, most = reading(key, connection.value(key)), demand_of(server)
            if isinstance(each, int | float) and each * _HASH * most > free:
                yield Note(
                    f"{connection.name}: {key} * {_HASH} (hash_mem_multiplier) * {most}"
                    f" connections = {sizing.written(int(each * _HASH * most))}, more than the"
                    f" {sizing.written(free)} that shared_buffers leaves",
                    connection.place(key),
                )
