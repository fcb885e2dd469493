from __future__ import annotations

from pathlib import Path

import pytest
from tests.check.conftest import Case, hold

RULE = "invalid-client-address"
CASES = (
    Case(RULE, {"one": "client_addresses: [10.20.0.0/16, 192.0.2.7, 'fd00::/8']"}),
    Case(RULE, {"one": ""}),
    Case(
        RULE,
        {"one": "client_addresses:\n- 10.0.0.1\n- 10.20.0.0/16\n- 10.0.0.0/33\n"},
        "environments/one.yaml:4",
        "'10.0.0.0/33' is not a network",
    ),
    *(
        Case(RULE, {"one": f"client_addresses: [10.0.0.1, {wrong}]"}, "environments/one.yaml:1")
        for wrong in ("10.0.0.0/33", "app.example.com", "samenet", "''")
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rule(case: Case, tmp_path: Path) -> None:
    """The rule fires where the case says, or nowhere."""
    hold(tmp_path, case)
