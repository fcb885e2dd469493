from __future__ import annotations

from pathlib import Path

import pytest
from tests.check.conftest import CLEAN, Case, Check, hold

WEB = "{name: web, processes: 2, replicas: 3, surge: 1, types: [pool, normal]}"
POOL = "pool_settings: {max_size: 10, max_lifetime: 60}\n"
MOST = 88  # (3 + 1) * 2 * (10 + 1)

CASES = (
    Case(
        "too-many-connections",
        {"one": f"connection_limit: {MOST - 1}\nservices: [{WEB}]\n{POOL}"},
        "environments/one.yaml:1",
        "admits 87 connections, and the services may open 88: 88 web",
        "error",
    ),
    Case(
        "too-many-connections",
        {"one": f"connection_limit: {MOST}\nservices: [{WEB}, {{name: cron}}]\n{POOL}"},
        "environments/one.yaml:1",
        "88 web + 1 cron",
    ),
    Case(
        "too-many-connections",
        {"one": f"connection_limit: {MOST}\nservices: [{WEB}]\n{POOL}"},
    ),
    Case("too-many-connections", {"one": f"local: true\nconnection_limit: 1\nservices: [{WEB}]\n"}),
    Case("invalid-service", {"one": f"services: [{WEB}]"}),
    Case(
        "invalid-service",
        {"one": "services:\n- name: web\n- name: jobs\n  surge: 1\n- nam: cron\n"},
        "environments/one.yaml:5",
        "service 3: must be a map with a name",
    ),
    *(
        Case("invalid-service", {"one": f"services: [{item}]"}, "environments/one.yaml:1", says)
        for item, says in (
            ("{replicas: 2}", "service 1: must be a map with a name"),
            ("web", "must be a map with a name"),
            ("{name: web, replica: 2}", "did you mean 'replicas'?"),
            ("{name: web, replicas: many}", "replicas must be a whole number"),
            ("{name: web, replicas: -1}", "replicas must be a whole number"),
            ("{name: {a: b}}", "service 1: name must be a text"),
            ("{name: [a]}", "name must be a text"),
            ("{name: web, processes: %s}" % ("9" * 5000), "a whole number of at most six digits"),
            ("{name: web, surge: [1]}", "surge must be a whole number"),
            ("{name: web, connection: {a: b}}", "there is no connection {'a': 'b'}"),
            ("{name: web, types: {pool: x}}", "{'pool': 'x'} is not one of"),
            ("{name: web, types: [[pool]]}", "('pool',) is not one of"),
            ("{name: web, connection: other}", "there is no connection 'other'"),
            ("{name: web, types: pools}", "'pools' is not one of"),
        )
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rule(case: Case, tmp_path: Path) -> None:
    """The rule fires where the case says, or nowhere."""
    hold(tmp_path, case)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no services are declared"),
        ("services: [{name: web}]", "no connection_limit is declared for db.example.com:5432"),
    ],
)
def test_what_is_not_declared_is_not_checked(checked: Check, text: str, said: str) -> None:
    """And that is said, for the environments that it is true of."""
    assert f"too-many-connections: {said} (one)" in checked(one=text).unknown


def test_services_of_one_server_are_added_up(checked: Check) -> None:
    """Two connections to the same host and port share its limit; another host has its own."""
    text = """\
connections:
  reports: {connection_settings: {dbname: reports}}
  replica: {connection_settings: {host: replica}}
connection_limit: 3
services:
- {name: web, replicas: 2}
- {name: reports, connection: reports, replicas: 2}
- {name: readers, connection: replica, replicas: 3}
"""
    (finding,) = [f for f in checked(one=text).findings if f.rule == "too-many-connections"]
    assert finding.message.startswith("db.example.com:5432 admits 3 connections")
    assert finding.message.endswith("4: 2 web + 2 reports")


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("[db2, db1]", ["db1:5432,db2:5432 admits 20"]),
        ("db1", ["db1:5432 admits 20"]),
        ("[db3, db1]", ["db1:5432 admits 20"]),
        ("[db1, db1, db2]", ["db1:5432,db2:5432 admits 20"]),
        ("db3", []),
        ("db1\n      port: 5433", []),
        ("db3\n      hostaddr: db1", ["db1:5432 admits 20"]),
    ],
)
def test_connections_are_counted_on_each_of_several_hosts(
    checked: Check, host: str, said: list[str]
) -> None:
    """After a failover one of them has all, in whatever order they stand."""
    text = f"""\
connection_settings: {{host: "db1,db2"}}
connections:
  ro:
    connection_settings:
      host: {host}
connection_limit: 20
pool_settings: {{max_size: 15}}
connection_type: pool
services: [{{name: w}}, {{name: r, connection: ro}}]
"""
    found = [f for f in checked(one=text).findings if f.rule == "too-many-connections"]
    assert [finding.message.partition(" connections")[0] for finding in found] == said
    assert all(finding.message.endswith("30: 15 w + 15 r") for finding in found)


def test_a_server_that_one_of_two_services_uses_is_judged_by_itself(checked: Check) -> None:
    """Each finding says what adds up there."""
    text = """\
connection_settings: {host: "db1,db2"}
connections: {ro: {connection_settings: {host: db2}}}
connection_limit: 14
pool_settings: {max_size: 15}
connection_type: pool
services: [{name: w}, {name: r, connection: ro}]
"""
    found = [f for f in checked(one=text).findings if f.rule == "too-many-connections"]
    assert {finding.message for finding in found} == {
        "db1:5432 admits 14 connections, and the services may open 15: 15 w",
        "db2:5432 admits 14 connections, and the services may open 30: 15 w + 15 r",
    }


def test_clean_is_clean(checked: Check) -> None:
    """The project that the cases start from has no finding at all."""
    assert checked(base=CLEAN, one="").findings == ()
