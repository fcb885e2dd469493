from __future__ import annotations

from pathlib import Path

import pytest
from tests.audit.program import Case, Well, merged, of, settings, shown

LARGE = {"server": {"memory": "64GB"}}
SMALL = {"server": {"memory": "512MB"}}
CASES = (
    Case(
        "size.shared_buffers",
        "info",
        "shared_buffers is still the default, 128MB",
        client=LARGE,
        mended=SMALL,
    ),
    Case(
        "size.effective_cache_size",
        "info",
        "effective_cache_size is still the default, 4GB",
        client=LARGE,
    ),
    Case("size.maintenance_work_mem", "info", "is still the default, 64MB", client=LARGE),
    Case("size.work_mem", "info", "work_mem is still the default, 4MB", client=LARGE),
    Case(
        "size.max_wal_size",
        "info",
        "max_wal_size is still the default, 1GB",
        sql=("ALTER SYSTEM SET max_wal_size = '1GB'",),
    ),
    Case(
        "size.min_wal_size",
        "info",
        "min_wal_size is still the default, 80MB",
        sql=("ALTER SYSTEM SET min_wal_size = '80MB'",),
    ),
    Case(
        "size.random_page_cost",
        "info",
        "random_page_cost is still the default, 4",
        client={"server": {"storage": "ssd"}},
    ),
)


def test_a_warehouse_reads_in_order(well: Well, tmp_path: Path) -> None:
    """For it the default fits every disk."""
    machine = {"server": {"storage": "ssd", "workload": "dw"}}
    files = merged(settings(well.server), machine)
    (said,) = of(tmp_path, files, "size.random_page_cost", well.view.snapshot)
    assert (said.status, said.outcome.expected) == ("ok", "some 4")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_fires_until_mended(case: Case, well: Well, tmp_path: Path) -> None:
    """Each default is reported for a machine that has more, and no more when it was changed."""
    shown(case, well, tmp_path)
