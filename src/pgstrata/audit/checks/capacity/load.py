"""Whether the hardware carries what may be connected at once."""

from __future__ import annotations

from collections.abc import Iterator

from pgstrata.audit.checks.pooled import arriving, behind_pooler
from pgstrata.audit.model import Check, Outcome
from pgstrata.audit.reading import size
from pgstrata.audit.remedy import for_client, for_program
from pgstrata.audit.view import View
from pgstrata.schema import parameters

_PER_CPU = 10
_KIB_PER_GIB = 1024 * 1024
_KIB_PER_BLOCK = 8  # shared_buffers counts blocks of 8 kB


def cpu(view: View) -> Iterator[Outcome]:
    """Compare the connections with the cores."""
    if behind_pooler(view) or view.client.value("server.cpus") is None:
        return
    cpus, demand = int(view.declared("cpus")), view.demand
    most = _PER_CPU * cpus
    over = demand > most
    line = "pooler: transaction, and smaller pools behind it: 2 to 3 connections a core are busy"
    yield Outcome(
        "warn" if over else "ok",
        f"the services may open {demand} connections to {cpus} cores",
        observed=f"{demand} connections",
        expected=f"{most} at most",
        key="server.cpus",
        fix=(for_client(view, line),) if over else (),
        evidence=tuple(f"{d.service}: {d.formula} = {d.most}" for d in view.demands),
    )


def work_mem(view: View) -> Iterator[Outcome]:
    """Compare one sort or hash in each connection with the memory that is left."""
    if view.client.value("server.memory") is None:
        return
    memory = parameters.kilobytes(str(view.declared("memory")))
    buffers = view.server("shared_buffers")
    left = memory - buffers.number * _KIB_PER_BLOCK
    each, factor = view.session("work_mem"), view.session("hash_mem_multiplier")
    hashed = each.number * max(factor.number, 1)
    demand = arriving(view, view.demand, int(left / hashed))
    used = hashed * demand
    over = used > left
    fitting = max(int(left / (max(factor.number, 1) * max(demand, 1))), 64)
    yield Outcome(
        "warn" if over else "ok",
        f"{demand} connections with one hash each may use {used / _KIB_PER_GIB:.1f} GiB of"
        f" {left / _KIB_PER_GIB:.1f} GiB",
        observed=str(each),
        expected=f"work_mem {size(fitting)} at most",
        key=_key(view, "work_mem"),
        fix=(for_program(view, "work_mem", size(fitting)),) if over else (),
        evidence=(str(each), str(factor), str(buffers)),
    )


def _key(view: View, name: str) -> str:
    wanted = view.wanted(name)
    return f"session_settings.{name}" if wanted else "server.memory"


CHECKS = (
    Check(
        "cap.cpu",
        "warn",
        what="More than ten connections for each core of the server. Needs `services` and"
        " `server.cpus`.",
        why="A core works for one session at a time; the others take memory, and locks while they"
        " wait.",
        verify="SELECT count(*) FILTER (WHERE state = 'active') FROM pg_stat_activity;",
        fix="A pooler in transaction mode, and smaller pools. Not a larger max_connections.",
        ignore="When nearly all of the connections sleep, and the server has memory for them.",
        cannot_see="How many are busy at once.",
        source="PostgreSQL wiki, Number Of Database Connections: (cores * 2) + spindles busy ones.",
        find=cpu,
    ),
    Check(
        "cap.work_mem",
        "warn",
        what="work_mem * hash_mem_multiplier * connections against `server.memory` less"
        " shared_buffers. Behind a pooler the connections are `server.pooler_connections`.",
        why="Each hash of each session may use it; at the worst moment the kernel ends the server.",
        verify="SHOW work_mem; SHOW hash_mem_multiplier; SHOW shared_buffers;",
        fix="A smaller work_mem for the program, with more for the few queries that need it.",
        ignore="When few sessions sort or hash at once.",
        cannot_see="What queries really use: some have many hashes, most have none.",
        source="PostgreSQL documentation, Resource Consumption: work_mem, hash_mem_multiplier.",
        find=work_mem,
    ),
)
