"""The program is a member of ``MID``, and that of ``BOSS``: what they may, it may too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests import versions
from tests.audit.program import (
    APP,
    CONF,
    DB,
    HBA,
    RESET,
    by_id,
    environments,
    of,
    prepared,
    run_sql,
    settings,
)
from tests.servers import Server

from pgstrata.audit.judge import judge
from pgstrata.audit.model import Result
from pgstrata.audit.run import look
from pgstrata.audit.view import View

MID, BOSS = "mid", "boss"
IN_ORDER = (
    f"ALTER ROLE {BOSS} NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS",
    f"GRANT {BOSS} TO {MID}",
    f"GRANT {MID} TO {APP}",
    f"ALTER ROLE {APP} INHERIT",
    "ALTER TABLE owned OWNER TO postgres",
    f"ALTER DATABASE {DB} OWNER TO postgres",
)
# What makes a check fire, the check, and what it says then.
CASES = [
    (f"ALTER ROLE {BOSS} SUPERUSER", "role.super", "may SET ROLE boss, which is a superuser"),
    (f"ALTER ROLE {BOSS} BYPASSRLS", "role.bypassrls", "boss, which passes row-level security by"),
    (f"ALTER ROLE {BOSS} REPLICATION", "role.replication", "boss, which makes replication slots"),
    (f"ALTER ROLE {BOSS} CREATEROLE", "role.createrole", "boss, which makes and changes roles"),
    (f"ALTER ROLE {BOSS} CREATEDB", "role.createdb", "boss, which makes databases"),
    (f"ALTER TABLE owned OWNER TO {BOSS}", "role.owns_tables", "of boss, which owns 1 tables"),
    (f"ALTER DATABASE {DB} OWNER TO {BOSS}", "role.owns_db", "of boss, which owns database appdb"),
]


@pytest.fixture(scope="module", params=[15, 18], ids=str)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Return servers of before and after grants had options of their own."""
    with Server.running(versions.bindir(request.param), conf=CONF, hba=HBA) as running:
        prepared(running)
        run_sql(running, (f"CREATE ROLE {MID}", f"CREATE ROLE {BOSS}", "CREATE TABLE owned ()"))
        yield running


@pytest.fixture
def grouped(server: Server) -> Server:
    """Return a server on which the program is a member of two roles that may nothing."""
    run_sql(server, (*RESET, *IN_ORDER))
    return server


def said(server: Server, folder: Path, check: str) -> tuple[Result, ...]:
    """Return what one check says of the program."""
    return of(folder, settings(server), check)


@pytest.mark.parametrize(("sql", "check", "says"), CASES, ids=[case[1] for case in CASES])
def test_what_a_membership_gives_is_found(
    grouped: Server, tmp_path: Path, sql: str, check: str, says: str
) -> None:
    """As much as the role's own; the membership that leads there is what the fix ends."""
    assert {one.status for one in said(grouped, tmp_path, check)} == {"ok"}
    run_sql(grouped, (sql,))
    (found,) = said(grouped, tmp_path, check)
    assert found.status not in ("ok", "unknown")
    assert found.outcome.message.startswith(f"role {APP} ")
    assert says in found.outcome.message
    (fix,) = found.outcome.fix
    assert fix.statement == f"REVOKE {MID} FROM {APP};"
    run_sql(grouped, (fix.statement,))
    assert grouped.sql(fix.verify) == [(False,)]
    assert {one.status for one in said(grouped, tmp_path, check)} == {"ok"}


def test_the_way_to_an_attribute_may_be_closed(grouped: Server, tmp_path: Path) -> None:
    """Attributes are not inherited; from 16 on a grant may forbid SET ROLE."""
    run_sql(grouped, (f"ALTER ROLE {BOSS} SUPERUSER", f"ALTER TABLE owned OWNER TO {BOSS}"))
    if grouped.version < 16:
        pytest.skip("every member may SET ROLE")
    run_sql(grouped, (f"GRANT {MID} TO {APP} WITH SET FALSE",))
    assert [one.status for one in said(grouped, tmp_path, "role.super")] == ["ok"]
    # Rights are inherited without it.
    assert [one.status for one in said(grouped, tmp_path, "role.owns_tables")] == ["info"]
    run_sql(grouped, (f"GRANT {MID} TO {APP} WITH INHERIT FALSE",))
    assert [one.status for one in said(grouped, tmp_path, "role.owns_tables")] == ["ok"]
    run_sql(grouped, (f"GRANT {MID} TO {APP} WITH SET TRUE, INHERIT TRUE",))


def test_an_owner_that_is_not_inherited_can_be_become(grouped: Server, tmp_path: Path) -> None:
    """NOINHERIT keeps the rights away until SET ROLE."""
    run_sql(grouped, (f"REVOKE {MID} FROM {APP}", f"ALTER ROLE {APP} NOINHERIT"))
    run_sql(grouped, (f"GRANT {MID} TO {APP}", f"ALTER TABLE owned OWNER TO {BOSS}"))
    assert [one.status for one in said(grouped, tmp_path, "role.owns_tables")] == ["info"]


def test_a_superuser_is_said_to_own_what_it_owns(grouped: Server, tmp_path: Path) -> None:
    """It has the rights of every role, which is what role.super says."""
    run_sql(grouped, (f"REVOKE {MID} FROM {APP}", f"ALTER ROLE {APP} SUPERUSER"))
    assert [one.status for one in said(grouped, tmp_path, "role.owns_tables")] == ["ok"]
    assert [one.status for one in said(grouped, tmp_path, "role.super")] == ["fail"]


@pytest.mark.parametrize("check", [case[1] for case in CASES])
def test_memberships_that_cannot_be_read_are_unknown(
    grouped: Server, tmp_path: Path, check: str
) -> None:
    """A snapshot of before they were looked at proves nothing."""
    (view,) = look(environments(tmp_path, production=settings(grouped)))
    facts = {name: rows for name, rows in view.snapshot.facts.items() if name != "reachable_roles"}
    (found,) = judge([View(view.client, replace(view.snapshot, facts=facts))], [by_id()[check]])
    assert (found.status, found.outcome.message) == (
        "unknown",
        "reachable_roles was not looked at",
    )
