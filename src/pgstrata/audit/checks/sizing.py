"""Hints: memory and disk settings that are still as initdb made them.

The formulas are PGTune's. They are a place to start from, so that only a default that is still in
place is reported, and not a number that somebody has chosen. wal_buffers is not among them: the
server itself sizes it by shared_buffers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from pgstrata import sizing
from pgstrata.audit.model import Check, LookAtOne, Outcome
from pgstrata.audit.reading import reading
from pgstrata.audit.remedy import for_server
from pgstrata.audit.view import View
from pgstrata.schema import parameters

Formula: TypeAlias = "Callable[[View], str]"  # the value that would fit; raises UnreadError

_WAL_GIB = {"web": 4, "oltp": 8, "dw": 16, "mixed": 4, "desktop": 2}
_LEAST_WAL = {"web": "1GB", "oltp": "2GB", "dw": "4GB", "mixed": "1GB", "desktop": "100MB"}
# What initdb writes into postgresql.conf itself, so that it looks like a choice.
_INITDB = {"shared_buffers": 16384.0, "max_wal_size": 1024.0, "min_wal_size": 80.0}


def _memory(view: View) -> int:
    return parameters.kilobytes(str(view.declared("memory")))


def _workload(view: View) -> str:
    return str(view.client.value("server.workload") or "web")


def _buffers(view: View) -> str:
    return str(sizing.shared_buffers(_memory(view), _workload(view)))


def _cache(view: View) -> str:
    return str(sizing.effective_cache_size(_memory(view), _workload(view)))


def _maintenance(view: View) -> str:
    return str(sizing.maintenance_work_mem(_memory(view), _workload(view)))


def _work(view: View) -> str:
    slots, workers = view.count("max_connections"), view.count("max_worker_processes")
    return str(sizing.work_mem(_memory(view), slots, workers, _workload(view)))


def _wal(view: View) -> str:
    _memory(view)  # a machine that nobody has described is not judged
    return f"{_WAL_GIB[_workload(view)]}GB"


def _least_wal(view: View) -> str:
    _memory(view)
    return _LEAST_WAL[_workload(view)]


def _random_page(view: View) -> str:
    # A data warehouse reads whole tables, on whatever disk.
    fast = view.declared("storage") == "ssd" and _workload(view) != "dw"
    return "1.1" if fast else "4"


def _hint(name: str, formula: Formula, key: str) -> LookAtOne:
    """Return a check that a parameter is not the default any more, where the default is small."""

    def find(view: View) -> Iterator[Outcome]:
        if view.client.value(key) is None:
            return
        wanted, said = reading(name, formula(view), ""), view.server(name)
        default = said.source == "default" or said.number == _INITDB.get(name)
        worse = default and wanted.number != said.number
        if name != "random_page_cost":
            worse = worse and said.number < wanted.number
        yield Outcome(
            "info" if worse else "ok",
            f"{name} is {'still the default, ' if worse else ''}{said.shown}",
            object=name,
            observed=said.shown,
            expected=f"some {wanted.shown}",
            key=key,
            fix=for_server(view, name, wanted.text) if worse else (),
            evidence=(str(said),),
        )

    return find


def _check(name: str, formula: Formula, what: str, why: str, key: str = "memory") -> Check:
    return Check(
        f"size.{name}",
        "info",
        what=f"{name} is still the default, and `server.{key}` says that the machine is larger."
        f" {what}",
        why=why,
        verify=f"SHOW {name};",
        fix="ALTER SYSTEM SET …; start from the formula, and measure.",
        ignore="When the default was measured to be right, or other programs share the machine.",
        cannot_see="What the machine has, unless it is declared; what else runs there.",
        source="The formulas of PGTune.",
        find=_hint(name, formula, f"server.{key}"),
    )


CHECKS = (
    _check(
        "shared_buffers",
        _buffers,
        "A quarter of the memory.",
        "The server reads again and again what it could keep.",
    ),
    _check(
        "effective_cache_size",
        _cache,
        "Three quarters of the memory.",
        "The planner takes an index for more expensive than it is.",
    ),
    _check(
        "maintenance_work_mem",
        _maintenance,
        "A sixteenth of the memory, an eighth for a data warehouse, 8 GB at most.",
        "VACUUM and CREATE INDEX make many passes where one would do.",
    ),
    _check(
        "work_mem",
        _work,
        "Memory less shared_buffers, over three times the sessions and workers; half of that for"
        " dw and mixed.",
        "Sorts and hashes go to disk while memory is free.",
    ),
    _check(
        "max_wal_size",
        _wal,
        "4 GB, 8 for oltp, 16 for dw.",
        "Checkpoints come too often, and each writes whole pages again.",
    ),
    _check(
        "min_wal_size",
        _least_wal,
        "1 GB, 2 for oltp, 4 for dw.",
        "Files of the log are deleted after a checkpoint, and made anew in the next peak.",
    ),
    _check(
        "random_page_cost",
        _random_page,
        "1.1 for an SSD, but for a data warehouse.",
        "The planner reads whole tables to avoid seeks that cost nothing there.",
        key="storage",
    ),
)
