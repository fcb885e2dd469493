from __future__ import annotations

from pathlib import Path

import pytest
from tests.check.conftest import CLEAN, Case, hold

SETTING = "connection_settings:\n  %s\n"
SYNC = "sync_settings:\n  %s\n"
POOL = "pool_settings:\n  %s\n"
NO_TIMEOUT = CLEAN.partition("session_settings")[0]

CASES = (
    Case(
        "no-connect-timeout",
        {"one": SETTING % "connect_timeout: 0"},
        "environments/one.yaml:2",
        "without end",
    ),
    Case("no-connect-timeout", {"one": SETTING % "connect_timeout: 5"}),
    Case("no-connect-timeout", {"one": ""}),
    Case("no-statement-timeout", {"base": NO_TIMEOUT, "one": ""}, "environments/one.yaml:1"),
    Case(
        "no-statement-timeout",
        {"one": "session_settings:\n  statement_timeout: 0\n"},
        "environments/one.yaml:2",
        "may run without end",
    ),
    Case("no-statement-timeout", {"one": ""}),
    Case("no-statement-timeout", {"base": NO_TIMEOUT, "one": "pooler: transaction"}),
    *(
        Case(
            "no-statement-timeout", {"base": NO_TIMEOUT, "one": SETTING % f"options: {options}"}, at
        )
        for at, texts in (
            (
                "",
                (
                    "-c statement_timeout=5s",
                    "-cStatement_Timeout=5000",
                    "-c jit=off --statement-timeout=5s",
                    "-c statement_timeout=0 -c statement_timeout=5s",
                ),
            ),
            (
                "environments/one.yaml:2",
                (
                    "-c statement_timeout=0",
                    "--statement-timeout=0ms",
                    "-c statement_timeout=5s -c statement_timeout=0",
                    "-c idle_statement_timeout=5s",
                    "-c application_name=statement_timeout",
                    r"-c application_name=a\ --statement_timeout=5s",
                    "-c lock_timeout=5s",
                ),
            ),
        )
        for options in texts
    ),
    Case(  # a session setting comes after the options
        "no-statement-timeout",
        {
            "one": "session_settings:\n  statement_timeout: 0\n"
            + SETTING % "options: -c statement_timeout=5s"
        },
        "environments/one.yaml:2",
    ),
    Case(
        "no-statement-timeout",
        {"base": NO_TIMEOUT, "one": "connection_type: pool\n" + SYNC % "statement_timeout: 5s"},
    ),
    Case(
        "no-statement-timeout",
        {"base": NO_TIMEOUT, "one": "connection_type: async\n" + SYNC % "statement_timeout: 5s"},
        "environments/one.yaml:1",
    ),
    Case(
        "no-statement-timeout",
        {"one": "connection_type: async_pool\nasync_settings:\n  statement_timeout: 0\n"},
        "environments/one.yaml:3",
    ),
    Case(  # a pool that is configured is in use too
        "no-statement-timeout",
        {"one": "async_settings:\n  statement_timeout: 0\nasync_pool_settings: {max_size: 4}\n"},
        "environments/one.yaml:2",
    ),
    Case(
        "no-statement-timeout",
        {
            "one": "async_settings:\n  statement_timeout: 0\n"
            "services: [{name: web, types: [pool, async]}]\n"
        },
        "environments/one.yaml:2",
    ),
    Case("no-statement-timeout", {"one": "async_settings: {statement_timeout: 0}\n"}),
    Case("keepalives-off", {"one": SETTING % "keepalives: 0"}, "environments/one.yaml:2"),
    Case("keepalives-off", {"one": SETTING % "keepalives: 1"}),
    Case("keepalives-off", {"one": SETTING % "host: /tmp\n  keepalives: 0"}),
    Case(
        "pool-timeout",
        {"one": SETTING % "host: [a, b, c]\n  connect_timeout: 4" + POOL % "timeout: 10"},
        "environments/one.yaml:5",
        "before 3 hosts of 4 s each",
    ),
    Case(  # the pool's own 30 s, so the place is what does not fit to it
        "pool-timeout",
        {"one": SETTING % "connect_timeout: 40" + POOL % "max_size: 9"},
        "environments/one.yaml:2",
    ),
    Case("pool-timeout", {"one": SETTING % "host: [a, b]" + POOL % "timeout: 10"}),
    Case(
        "no-max-lifetime",
        {"one": POOL % "max_lifetime: 86400"},
        "environments/one.yaml:2",
        "uses a connection for 86400 s",
    ),
    Case("no-max-lifetime", {"one": POOL % "max_size: 9"}),
    Case("no-max-lifetime", {"one": "connection_type: async_pool"}),
    Case("no-max-lifetime", {"one": POOL % "max_lifetime: 3600"}),
    Case(
        "pool-without-check",
        {"one": "pooler: session\n" + POOL % "max_size: 9"},
        "environments/one.yaml:1",
        "the pooler",
    ),
    Case(
        "pool-without-check",
        {"one": POOL % "max_size: 9\n" + SETTING % "host: pgbouncer.example.com"},
        "environments/one.yaml:5",
        "the proxy pgbouncer.example.com",
    ),
    Case(
        "pool-without-check",
        {"one": "pooler: session\n" + POOL % "check_on_checkout: true"},
    ),
    Case("pool-without-check", {"one": POOL % "max_size: 9"}),
    Case(
        "no-target-session-attrs",
        {"one": SETTING % "host: [a, b]"},
        "environments/one.yaml:2",
        "of 2 hosts",
    ),
    Case("no-target-session-attrs", {"one": SETTING % "host: [a, b]\n  target_session_attrs: any"}),
    Case("no-target-session-attrs", {"one": ""}),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rule(case: Case, tmp_path: Path) -> None:
    """The rule fires where the case says, or nowhere."""
    hold(tmp_path, case)
