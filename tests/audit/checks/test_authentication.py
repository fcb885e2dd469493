from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import psycopg
import pytest
from tests.audit.program import (
    APP,
    DB,
    HBA,
    Case,
    Well,
    audited,
    environments,
    merged,
    of,
    reload,
    settings,
    shown,
    with_hba,
)
from tests.servers import PASSWORD, Server

ADMIN = HBA[1]
# libpq takes the name for what it is told, and the address for where to go.
ELSEWHERE = {"host": "db.example.test", "hostaddr": "127.0.0.1"}
FAR = {"client_addresses": ["10.2.0.0/16"], "connection_settings": ELSEWHERE}
NEAR = {"client_addresses": ["127.0.0.1"]}
RADIUS = "radius radiusservers=127.0.0.1 radiussecrets=made-up"
SOON = f"DO $$ BEGIN EXECUTE format('ALTER ROLE {APP} VALID UNTIL %L', now() + '36 hours'); END $$"


def app(method: str, address: str = "127.0.0.1/32", kind: str = "host") -> str:
    """Return a line for the program."""
    return f"{kind} {DB} {APP} {address} {method}"


CASES = (
    Case("auth.rule", "fail", "no line of pg_hba.conf matches", hba=(ADMIN,)),
    Case("auth.rule", "fail", "rejects the connection", hba=(app("reject"), *HBA)),
    Case("auth.rule", "fail", "from 10.2.0.0/16", client=FAR, hba=HBA, mended=NEAR),
    Case("auth.method", "warn", "the client's own machine is believed", hba=(app("ident"), ADMIN)),
    Case("auth.method", "info", "the server learns the password", hba=(app(RADIUS), ADMIN)),
    Case("auth.method", "info", "nobody is asked for anything", hba=(app("trust"), ADMIN)),
    Case("auth.method", "warn", "md5 is broken", hba=(app("md5"), ADMIN)),
    Case("auth.method", "info", "the server learns the password", hba=(app("password"), ADMIN)),
    Case(
        "auth.method",
        "fail",
        "by trust: nobody is asked",
        client=FAR,
        hba=(app("trust", "10.0.0.0/8"), *HBA),
        mended=NEAR,
    ),
    Case(
        "auth.method",
        "fail",
        "the password goes over the network in clear text",
        client=FAR,
        hba=(app("password", "10.0.0.0/8"), *HBA),
        mended=NEAR,
    ),
    Case(
        "auth.actual",
        "info",
        "without being asked who it is",
        hba=(HBA[0], "host all postgres 127.0.0.1/32 trust"),
    ),
    Case(
        "auth.password_encryption",
        "warn",
        "new passwords are kept as md5",
        sql=("ALTER SYSTEM SET password_encryption = 'md5'",),
    ),
    Case(
        "auth.unreachable",
        "warn",
        "never decides: earlier lines take all",
        hba=(*HBA, app("reject")),
    ),
    Case(
        "auth.unreachable",
        "warn",
        "never decides: earlier lines take all",
        hba=(
            *HBA,
            app("scram-sha-256", "10.0.0.0/9"),
            app("scram-sha-256", "10.128.0.0/9"),
            app("reject", "10.0.0.0/8"),
        ),
    ),
    Case(
        "auth.broad",
        "warn",
        "is for any address",
        hba=(*HBA, "host app app 0.0.0.0/0 scram-sha-256"),
    ),
    Case(
        "auth.broad",
        "warn",
        "is for all roles and all databases",
        hba=(*HBA, "host all all 10.1.0.0/16 scram-sha-256"),
    ),
    Case("auth.login_chain", "fail", "it may not log in", sql=(f"ALTER ROLE {APP} NOLOGIN",)),
    Case("auth.login_chain", "fail", "ends in 1 days", sql=(SOON,)),
    Case(
        "auth.login_chain",
        "fail",
        "it may not connect to appdb",
        sql=(f"REVOKE CONNECT ON DATABASE {DB} FROM PUBLIC",),
        undone=(f"GRANT CONNECT ON DATABASE {DB} TO PUBLIC",),
    ),
    Case(
        "auth.login_chain",
        "fail",
        "there is no such role",
        client={"connection_settings": {"user": "nobody"}},
        hba=(*HBA, f"host {DB} nobody 127.0.0.1/32 scram-sha-256"),
        mended={"connection_settings": {"user": APP}},
    ),
    Case(
        "auth.pooler_user",
        "fail",
        "no line of pg_hba.conf matches",
        client={"pooler": "session"},
        hba=(ADMIN,),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_fires_until_mended(case: Case, well: Well, tmp_path: Path) -> None:
    """Each fault is found, and found no more when the file or the role is as it should be."""
    shown(case, well, tmp_path)


def test_the_missing_line_is_the_one_that_helps(well: Well, tmp_path: Path) -> None:
    """The program gets in by the line that was printed, at the place that was printed."""
    reject = f"host all {APP} all reject"
    with_hba(well.server, (ADMIN, reject))
    try:
        (said,) = of(tmp_path, settings(well.server), "auth.rule")
        assert said.outcome.fix[0].statement.startswith(
            f"{said.outcome.expected}  -- before {well.server.data / 'pg_hba.conf'}:3"
        )
        with_hba(well.server, (ADMIN, said.outcome.expected, reject))
        (said,) = of(tmp_path, settings(well.server), "auth.rule")
        assert said.status == "ok"
        with psycopg.connect(**well.server.keywords(user=APP, dbname=DB)):
            pass
    finally:
        with_hba(well.server, HBA)


@pytest.mark.parametrize("refusal", ["", f"host all {APP} all reject"])
def test_a_program_that_cannot_log_in_is_told_its_line(
    well: Well, tmp_path: Path, refusal: str
) -> None:
    """Without any login: the server's own refusal says where it saw the program come from."""
    clients = environments(tmp_path, production=settings(well.server))
    with_hba(well.server, (ADMIN, *filter(None, (refusal,))))
    try:
        (said,) = audited(clients, "auth.rule", login="")
        assert said.status == "fail"
        assert said.outcome.expected == HBA[0]
        with_hba(well.server, (ADMIN, said.outcome.expected, *filter(None, (refusal,))))
        (said,) = audited(clients, "auth.rule", login="")
        assert said.status == "unknown"  # it gets in, and may not see by which line
    finally:
        with_hba(well.server, HBA)


def test_an_md5_hash_under_a_scram_line(well: Well, tmp_path: Path) -> None:
    """The right password cannot be used; it can when it was set again."""
    well.server.sql(f"SET password_encryption = 'md5'; ALTER ROLE {APP} PASSWORD '{PASSWORD}'")
    try:
        (refused,) = of(tmp_path, settings(well.server), "auth.rule")
        assert refused.status == "fail"
        assert [fix.statement for fix in refused.outcome.fix] == [
            f"SET password_encryption = 'scram-sha-256';  \\password {APP}"
        ]
        said = of(tmp_path, settings(well.server), "auth.hash")
        assert "scram-sha-256 is asked for: it cannot log in" in said[0].outcome.message
        assert said[0].status == "fail"
        with_hba(well.server, (app("md5"), ADMIN))
        (seen_by_probe,) = of(tmp_path, settings(well.server), "auth.hash")
        assert seen_by_probe.status == "warn"
    finally:
        well.server.sql(f"ALTER ROLE {APP} PASSWORD '{PASSWORD}'")
        with_hba(well.server, HBA)
    (said_after,) = of(tmp_path, settings(well.server), "auth.hash")
    assert said_after.status == "ok"


def test_a_role_without_a_password(well: Well, tmp_path: Path) -> None:
    """It cannot log in where one is asked for, and can where none is."""
    well.server.sql(f"ALTER ROLE {APP} PASSWORD NULL")
    try:
        (said,) = of(tmp_path, settings(well.server), "auth.hash")
        assert (said.status, said.outcome.observed) == ("fail", "none")
        with_hba(well.server, (app("trust"), ADMIN))
        (said,) = of(tmp_path, settings(well.server), "auth.hash")
        assert said.status == "ok"
    finally:
        well.server.sql(f"ALTER ROLE {APP} PASSWORD '{PASSWORD}'")
        with_hba(well.server, HBA)


def test_a_client_of_scram_alone_and_an_md5_hash(well: Well, tmp_path: Path) -> None:
    """A client that demands channel binding cannot use the hash either."""
    well.server.sql(f"SET password_encryption = 'md5'; ALTER ROLE {APP} PASSWORD '{PASSWORD}'")
    try:
        files = settings(well.server, require_auth="scram-sha-256")
        said = of(tmp_path, files, "auth.hash")
    finally:
        well.server.sql(f"ALTER ROLE {APP} PASSWORD '{PASSWORD}'")
    assert [result.outcome.object for result in said] == [APP, "client"]


@pytest.mark.parametrize("broken", ["clientcert=1", "banana"])
def test_a_line_that_stops_the_next_start(well: Well, tmp_path: Path, broken: str) -> None:
    """It is found also where the view shows it without an error; until then the old lines hold."""
    well.server.set_hba((*HBA, f"hostssl all all 127.0.0.1/32 scram-sha-256 {broken}"))
    try:
        (said,) = of(tmp_path, settings(well.server), "auth.file_errors")
        assert said.status == "fail"
        assert "pg_hba.conf:4: " in said.outcome.message
        assert "the next restart fails" in said.outcome.message
        (unsure,) = of(tmp_path, settings(well.server), "auth.rule")
        assert unsure.status == "unknown"
    finally:
        with_hba(well.server, HBA)
    (said,) = of(tmp_path, settings(well.server), "auth.file_errors")
    assert said.status == "ok"


def test_a_file_that_was_not_read_again(well: Well, tmp_path: Path) -> None:
    """Its time tells, and what the server does to a probe; both are quiet after a reload."""
    checks = ("auth.not_reloaded", "auth.drift")
    try:
        edited(well.server, (app("reject"), ADMIN))
        ((stale,), (drift,)) = (of(tmp_path, settings(well.server), check) for check in checks)
        assert (stale.status, drift.status) == ("warn", "fail")
        assert drift.outcome.expected == "reject"
        assert drift.outcome.observed == "scram"
        reload(well.server)
        stale, drift = (of(tmp_path, settings(well.server), check)[0] for check in checks)
        assert (stale.status, drift.status) == ("ok", "ok")
    finally:
        with_hba(well.server, HBA)


def test_a_network_is_answered_part_by_part(well: Well, tmp_path: Path) -> None:
    """One half of the declared clients gets in, the other does not."""
    files = merged(settings(well.server), FAR)
    with_hba(well.server, (*HBA, app("scram-sha-256", "10.2.0.0/17")))
    try:
        said = of(tmp_path, files, "auth.rule")
    finally:
        with_hba(well.server, HBA)
    assert {(one.outcome.object, one.status) for one in said} == {
        ("10.2.0.0/17", "ok"),
        ("10.2.128.0/17", "fail"),
    }


def edited(server: Server, lines: Sequence[str]) -> None:
    """Write pg_hba.conf until its time is later than that of the last reload: the clock of files
    goes in steps.
    """
    newer = "SELECT (pg_stat_file(current_setting('hba_file'))).modification > pg_conf_load_time()"
    deadline = time.monotonic() + 60
    server.set_hba(lines)
    while server.sql(newer) != [(True,)]:
        assert time.monotonic() < deadline
        server.set_hba(lines)
