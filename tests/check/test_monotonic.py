from __future__ import annotations

from pathlib import Path

import pytest
from tests.check.conftest import CLEAN, Case, hold

PROTECTED = "protected: true\n"
SETTING = "connection_settings:\n  %s\n"
SYNC = "sync_settings:\n  %s\n"
ASYNC = "async_settings:\n  %s\n"
SESSION = "session_settings:\n  %s\n"

CASES = (
    Case(
        "weaker-tls",
        {"one": "", "two": PROTECTED + SETTING % "sslmode: require\n  sslrootcert: null"},
        "environments/two.yaml:3",
        "sslmode require is weaker than verify-full in one",
        "error",
    ),
    Case(
        "weaker-tls", {"one": SETTING % "sslmode: require\n  sslrootcert: null", "two": PROTECTED}
    ),
    Case("weaker-tls", {"one": "", "two": SETTING % "sslmode: require\n  sslrootcert: null"}),
    Case(
        "weaker-channel-binding",
        {"one": SETTING % "channel_binding: require", "two": PROTECTED},
        "environments/two.yaml:1",
        "channel_binding (not set) is weaker than require",
    ),
    Case("weaker-channel-binding", {"one": "", "two": PROTECTED}),
    Case(
        "weaker-timeout",
        {"one": SESSION % "statement_timeout: 5s", "two": PROTECTED},
        "environments/base.yaml:8",
        "statement_timeout 30s is weaker than 5s in one",
    ),
    Case(
        "weaker-timeout",
        {"one": "", "two": PROTECTED + SESSION % "statement_timeout: 0"},
        "environments/two.yaml:3",
    ),
    Case("weaker-timeout", {"one": "", "two": PROTECTED + SESSION % "statement_timeout: 30000ms"}),
    Case(
        "weaker-timeout",
        {
            "one": SYNC % "statement_timeout: 1s",
            "two": PROTECTED + SYNC % "statement_timeout: 10min",
        },
        "environments/two.yaml:3",
        "statement_timeout 10min is weaker than 1s in one",
    ),
    Case(
        "weaker-timeout",
        {
            "one": "connection_type: async\n" + ASYNC % "statement_timeout: 1s",
            "two": PROTECTED + "connection_type: async_pool\n" + ASYNC % "statement_timeout: 0",
        },
        "environments/two.yaml:4",
        "statement_timeout 0 is weaker than 1s in one",
    ),
    Case(  # each of its types has one, and the section of all types has none
        "weaker-timeout",
        {
            "base": CLEAN.partition("session_settings")[0],
            "one": SESSION % "statement_timeout: 30s",
            "two": PROTECTED
            + SYNC % "statement_timeout: 1s"
            + ASYNC % "statement_timeout: 1s"
            + "async_pool_settings: {max_size: 4}\n",
        },
    ),
    Case(  # one's own machine is no measure
        "weaker-timeout",
        {"one": "local: true\n" + SESSION % "statement_timeout: 5s", "two": PROTECTED},
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rule(case: Case, tmp_path: Path) -> None:
    """The rule fires where the case says, or nowhere."""
    hold(tmp_path, case)
