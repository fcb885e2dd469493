from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.audit.program import APP, DB, Case, Well, merged, of, settings, shown

IDLE = (f"ALTER ROLE {APP} SET idle_session_timeout = '10min'",)
ASYNC = {"min_size": 0, "max_size": 2}  # a second type of connection
CHECKED = {"check_on_checkout": True}
CASES = (
    Case("to.idle_kill", "fail", "after 10min of silence, and the pool keeps 1 open", sql=IDLE),
    Case("to.idle_kill", "info", "keeps 1 open", sql=IDLE, client={"pool_settings": CHECKED}),
    Case(
        "to.idle_kill",
        "warn",
        "keeps 6 open",
        sql=IDLE,
        client={"pool_settings": {**CHECKED, "min_size": 6, "max_size": 6}},
    ),
    Case(
        "to.idle_kill",
        "fail",
        "the async_pool keeps 2 open",
        client={
            "async_pool_settings": {"min_size": 2, "max_size": 2},
            "async_settings": {"idle_session_timeout": "5s"},
        },
        mended={"async_settings": {"idle_session_timeout": 0}},
    ),
    Case(
        "to.chain",
        "warn",
        "deadlocks are never found",
        client={"session_settings": {"lock_timeout": "500ms"}},
        mended={"session_settings": {"lock_timeout": "2s"}},
    ),
    Case(
        "to.chain",
        "warn",
        "lock_timeout never fires",
        client={"session_settings": {"statement_timeout": "5s"}},
        mended={"session_settings": {"statement_timeout": "20s"}},
    ),
    Case(
        "to.chain",
        "warn",
        "transaction_timeout 20s is not longer",
        sql=(f"ALTER DATABASE {DB} SET transaction_timeout = '20s'",),
    ),
    Case(
        "to.chain",
        "warn",
        "lock_timeout 20ms is not longer than deadlock_timeout",
        client={"async_pool_settings": ASYNC, "async_settings": {"lock_timeout": "20ms"}},
        mended={"async_settings": {"lock_timeout": "2s"}},
    ),
    Case(
        "to.unset",
        "warn",
        "async_pool statement_timeout is 0: nothing ends it",
        client={
            "async_pool_settings": ASYNC,
            "sync_settings": {"statement_timeout": "30s"},
            "session_settings": {"statement_timeout": None},
        },
    ),
    Case(
        "to.units",
        "warn",
        "lock_timeout 90 is 90 milliseconds",
        client={"async_pool_settings": ASYNC, "async_settings": {"lock_timeout": 90}},
        mended={"async_settings": {"lock_timeout": "90s"}},
    ),
    Case(
        "to.unset",
        "warn",
        "statement_timeout is 0: nothing ends it",
        client={"session_settings": {"statement_timeout": None}},
    ),
    Case(
        "to.unset",
        "warn",
        "idle_in_transaction_session_timeout is 0: nothing ends it",
        client={"session_settings": {"idle_in_transaction_session_timeout": 0}},
        mended={"session_settings": {"idle_in_transaction_session_timeout": "1min"}},
    ),
    Case(
        "to.units",
        "warn",
        "statement_timeout 30 is 30 milliseconds",
        client={"session_settings": {"statement_timeout": None}},
        sql=(f"ALTER ROLE {APP} SET statement_timeout = 30",),
    ),
    Case(
        "to.units",
        "warn",
        "idle_in_transaction_session_timeout 30 is 30 milliseconds",
        client={"session_settings": {"idle_in_transaction_session_timeout": None}},
        sql=("ALTER SYSTEM SET idle_in_transaction_session_timeout = 30",),
    ),
    Case(
        "to.connect",
        "warn",
        "pool_settings.timeout is 5 s, and 1 addresses may take 10 s",
        client={"pool_settings": {"timeout": 5}},
        mended={"pool_settings": {"timeout": 11}},
    ),
    Case(
        "to.connect",
        "info",
        "the server ends a login after 1min",
        client={"connection_settings": {"connect_timeout": 90}},
        mended={"connection_settings": {"connect_timeout": 5}},
    ),
    Case(
        "to.none",
        "warn",
        "waited for without end",
        client={"connection_settings": {"connect_timeout": 0}},
        mended={"connection_settings": {"connect_timeout": 5}},
    ),
    Case(
        "ka.client",
        "warn",
        "the first keepalive comes after 600 s",
        client={"connection_settings": {"keepalives_idle": 600}},
        mended={"connection_settings": {"keepalives_idle": 175}},
    ),
    Case(
        "ka.client",
        "warn",
        "no keepalive is sent",
        client={"connection_settings": {"keepalives": 0}},
        mended={"connection_settings": {"keepalives": 1}},
    ),
    Case(
        "ka.client",
        "info",
        "tcp_user_timeout is left to the system",
        client={"connection_settings": {"tcp_user_timeout": 0}},
        mended={"connection_settings": {"tcp_user_timeout": 30000}},
    ),
    Case(
        "ka.server",
        "warn",
        "notices a lost client after 7260 s",
        sql=(f"ALTER ROLE {APP} SET tcp_keepalives_idle = 7200",),
    ),
    Case(
        "ka.server",
        "info",
        "a query goes on after its client is gone",
        sql=(f"ALTER ROLE {APP} SET client_connection_check_interval = 0",),
    ),
)


@pytest.mark.parametrize(("addresses", "status", "needed"), [(1, "ok", 10), (2, "warn", 20)])
def test_each_address_of_a_name_is_waited_for(
    well: Well, tmp_path: Path, addresses: int, status: str, needed: int
) -> None:
    """As libpq does: two of them take twice the time."""
    seen = well.view.snapshot
    assert seen.facts["client"][0]["addresses"] == 1
    client = ({**seen.facts["client"][0], "addresses": addresses},)
    files = merged(settings(well.server), {"pool_settings": {"timeout": 15}})
    snapshot = replace(seen, facts={**seen.facts, "client": client})
    said, _ = of(tmp_path, files, "to.connect", snapshot)
    assert (said.status, said.outcome.expected) == (status, f"{needed} s at least")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_fires_until_mended(case: Case, well: Well, tmp_path: Path) -> None:
    """Each timeout is found, and found no more when it is as the finding says."""
    shown(case, well, tmp_path)
