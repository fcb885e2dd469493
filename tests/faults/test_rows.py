"""Every fault of the table, on real servers: briefly by default, ``-m faults`` with its gate."""

from __future__ import annotations

from statistics import median

import pytest
from tests.faults.rows import BOTH, ROWS, Row
from tests.faults.stage import Stage

BRIEFLY = [(name, kind) for name, row in ROWS.items() for kind in row.short]
FULLY = [(name, kind) for name, row in ROWS.items() for kind in BOTH if kind in row.kinds]


def there(row: Row, stage: Stage) -> Row:
    """Return the row, or skip the test by what this machine lacks for it."""
    if missing := row.needs(stage.server):
        pytest.skip(missing)
    return row


@pytest.mark.parametrize(("name", "kind"), BRIEFLY)
def test_nothing_is_lost_and_nobody_hangs(name: str, stage: Stage) -> None:
    """However slow the machine: clients are served again, and each acknowledged row is there."""
    stage.short = True
    row = there(ROWS[name], stage)
    outcome = row.play(stage)
    assert outcome.wrong == ()
    assert outcome.errors == {} or row.errors


@pytest.mark.faults
@pytest.mark.timeout(900)  # some faults take a minute, five times
@pytest.mark.parametrize(("name", "kind"), FULLY)
def test_the_gate_is_reached(name: str, stage: Stage) -> None:
    """The median of the seconds, and of the errors, is within what the table allows."""
    row = there(ROWS[name], stage)
    outcomes = [row.play(stage) for _ in range(row.times)]
    assert [outcome.wrong for outcome in outcomes] == [()] * row.times
    assert median(outcome.seconds for outcome in outcomes) <= row.seconds
    assert median(outcome.failed for outcome in outcomes) <= row.errors
