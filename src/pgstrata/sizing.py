"""Starting points for the memory of a server, from what its machine has and what it mostly does.

The formulas are those of PGTune. All amounts are in kB; ``memory`` in a formula is the machine's.
"""

from __future__ import annotations

from dataclasses import dataclass

WORKERS = 8  # max_worker_processes, PostgreSQL's own default
_LEAST_WORK_MEM = 4 << 10  # PostgreSQL's own default
_MOST_MAINTENANCE = 8 << 20
# How much of an even share a sort may have; a data warehouse runs several in one query.
_WORK = {"dw": 2, "mixed": 2, "desktop": 6}


@dataclass(frozen=True, slots=True)
class Amount:
    """An amount of memory in kB, and how it comes about."""

    kilobytes: int
    formula: str

    def __str__(self) -> str:
        """Return it as postgresql.conf has it, in whole megabytes where it is that large."""
        return written(self.kilobytes)


def shared_buffers(memory: int, workload: str = "web") -> Amount:
    """Return what the server keeps by itself; a desktop has other things to do."""
    part = 16 if workload == "desktop" else 4
    return Amount(memory // part, f"memory / {part}")


def effective_cache_size(memory: int, workload: str = "web") -> Amount:
    """Return what the planner may expect to find in memory, the operating system's share too."""
    quarters = 1 if workload == "desktop" else 3
    return Amount(memory * quarters // 4, f"memory * {quarters} / 4")


def maintenance_work_mem(memory: int, workload: str = "web") -> Amount:
    """Return what VACUUM and CREATE INDEX may use."""
    part = 8 if workload == "dw" else 16
    return Amount(min(memory // part, _MOST_MAINTENANCE), f"min(memory / {part}, 8GB)")


def work_mem(memory: int, slots: int, workers: int = WORKERS, workload: str = "web") -> Amount:
    """Return what one sort or hash may use where ``slots`` sessions and all workers are busy."""
    each = (memory - shared_buffers(memory, workload).kilobytes) // ((slots + workers) * 3)
    part = _WORK.get(workload, 1)
    formula = f"(memory - shared_buffers) / (({slots} + {workers} workers) * 3)"
    formula += f" / {part}" if part > 1 else ""
    return Amount(max(each // part, _LEAST_WORK_MEM), f"max({formula}, 4MB)")


def written(kilobytes: int) -> str:
    """Return an amount as postgresql.conf has it, in whole megabytes where it is that large."""
    return f"{kilobytes >> 10}MB" if kilobytes >= 1 << 10 else f"{kilobytes}kB"
