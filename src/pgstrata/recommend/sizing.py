"""Memory and processors: starting points from what is declared of the machine, never guessed.

The shares of memory are those that PGTune and PostgreSQL's own documentation give for a machine of
its own. That the defaults are still in place is what matters, not the exact number.
"""

from __future__ import annotations

from collections.abc import Iterator

from pgstrata.check.scope import SESSION_SECTIONS, reading
from pgstrata.model import Origin
from pgstrata.recommend.advice import Advice, Applies, Missing, Note
from pgstrata.recommend.capacity import demand_of, max_connections
from pgstrata.recommend.server import Server
from pgstrata.schema import parameters

_PER_CPU = 10  # connections; with more, they mostly wait for each other
_WORKERS = 8  # max_worker_processes, PostgreSQL's own default
_LEAST_WORK_MEM = 4096  # kB, PostgreSQL's own default
_MOST_MAINTENANCE = 8 << 20  # kB
_HASH = 2  # hash_mem_multiplier, PostgreSQL's own default since 15
_START = "a starting point for a machine that the server has to itself"


def memory(server: Server) -> Iterator[Advice | Missing | Note]:
    """Share the declared memory out."""
    said, origins = server.declared("server_memory")
    if said is None:
        why = "shared_buffers, work_mem and the like follow from the machine's memory"
        yield server.undeclared("server_memory", why, "server_memory: 16GB")
        return
    ram = _kilobytes(str(said))
    shared = ram // 4
    yield _share("shared_buffers", shared, f"{said} / 4", origins, "restart")
    yield _share("effective_cache_size", ram * 3 // 4, f"{said} * 3 / 4", origins)
    most = min(ram // 16, _MOST_MAINTENANCE)
    yield _share("maintenance_work_mem", most, f"min({said} / 16, 8GB)", origins)
    slots = max_connections(server)
    if slots is not None:
        each = max((ram - shared) // ((slots + _WORKERS) * 3), _LEAST_WORK_MEM)
        formula = f"max(({said} - shared_buffers) / (({slots} + {_WORKERS} workers) * 3), 4MB)"
        yield _share("work_mem", each, formula, origins)
    yield from _overcommitted(server, ram - shared)


def processors(server: Server) -> Iterator[Missing | Note]:
    """Say where more connections are asked for than the declared processors can serve."""
    said, origins = server.declared("server_cpus")
    most = demand_of(server)
    if said is None:
        why = "whether the services ask for more than the machine can do at a time"
        yield server.undeclared("server_cpus", why, "server_cpus: 8")
    elif isinstance(said, int) and most > _PER_CPU * said:
        yield Note(
            f"the services may open {most} connections, more than {_PER_CPU} * {said} CPUs: put"
            " a pooler between, or make the pools smaller, rather than raise max_connections",
            origins[0],
        )


def storage(server: Server) -> Iterator[Advice | Missing]:
    """Say what a random read costs, compared with one in order."""
    said, origins = server.declared("server_storage")
    if said is None:
        why = "what a random read costs is not the same on a disk and on an SSD"
        yield server.undeclared("server_storage", why, "server_storage: ssd")
    elif said == "ssd":
        why = "on an SSD a random read costs hardly more than one in order"
        yield Advice("conf", "random_page_cost = 1.1", why, "reload", origins=origins)


def _share(
    name: str,
    kilobytes: int,
    formula: str,
    origins: tuple[Origin, ...],
    applies: Applies = "reload",
) -> Advice:
    text = _written(kilobytes)
    line = f"{name} = {text}"
    return Advice("conf", line, _START, applies, f"{formula} = {text}", origins)


def _overcommitted(server: Server, free: int) -> Iterator[Note]:
    """Find a ``work_mem`` of the client that its connections together cannot have."""
    for connection in server.direct:
        for section in SESSION_SECTIONS:
            key = f"{section}.work_mem"
            each, most = reading(key, connection.value(key)), demand_of(server)
            if isinstance(each, int | float) and each * _HASH * most > free:
                yield Note(
                    f"{connection.name}: {key} * {_HASH} (hash_mem_multiplier) * {most}"
                    f" connections = {_written(int(each * _HASH * most))}, more than the"
                    f" {_written(free)} that shared_buffers leaves",
                    connection.place(key),
                )


def _kilobytes(text: str) -> int:
    parameter = parameters.find("effective_cache_size")
    assert parameter is not None  # the table has it
    return int(parameters.canonical(parameter, text)) * 8  # it counts in blocks of 8 kB


def _written(kilobytes: int) -> str:
    return f"{kilobytes >> 10}MB" if kilobytes >= 1 << 10 else f"{kilobytes}kB"
