from __future__ import annotations

import pytest

from pgstrata import sizing

GIB = 1 << 20


@pytest.mark.parametrize(
    ("workload", "expected"),
    [
        ("web", ("4096MB", "12288MB", "1024MB", "37MB")),
        ("oltp", ("4096MB", "12288MB", "1024MB", "37MB")),
        ("dw", ("4096MB", "12288MB", "2048MB", "18MB")),
        ("desktop", ("1024MB", "4096MB", "1024MB", "7MB")),
    ],
)
def test_shares_of_16_gigabytes(workload: str, expected: tuple[str, ...]) -> None:
    """By what the server mostly does."""
    memory = 16 * GIB
    found = (
        sizing.shared_buffers(memory, workload),
        sizing.effective_cache_size(memory, workload),
        sizing.maintenance_work_mem(memory, workload),
        sizing.work_mem(memory, 100, workload=workload),
    )
    assert tuple(map(str, found)) == expected


def test_limits() -> None:
    """A small machine keeps PostgreSQL's default, a large one does not give all to one job."""
    assert str(sizing.work_mem(GIB, 100)) == "4MB"
    assert str(sizing.maintenance_work_mem(1024 * GIB)) == "8192MB"
    assert sizing.written(512) == "512kB"
