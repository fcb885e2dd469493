from __future__ import annotations

from pathlib import Path

import pytest
from tests.audit.program import APP, DB, Case, Well, of, run_sql, settings, shown
from tests.audit.program import RESET as PUT_BACK
from tests.servers import Server

from pgstrata.audit.checks.roles.schemas import elements

OPEN = "GRANT CREATE ON SCHEMA public TO PUBLIC"
TWO = [{"name": "web"}, {"name": "worker"}]
CASES = (
    Case("role.super", "fail", "is a superuser", sql=(f"ALTER ROLE {APP} SUPERUSER",)),
    Case("role.bypassrls", "warn", "row-level", sql=(f"ALTER ROLE {APP} BYPASSRLS",)),
    Case("role.replication", "warn", "copy", sql=(f"ALTER ROLE {APP} REPLICATION",)),
    Case("role.createrole", "warn", "changes roles", sql=(f"ALTER ROLE {APP} CREATEROLE",)),
    Case("role.createdb", "info", "makes databases", sql=(f"ALTER ROLE {APP} CREATEDB",)),
    Case(
        "role.predefined",
        "fail",
        "member of pg_read_server_files",
        sql=(f"GRANT pg_read_server_files TO {APP}",),
    ),
    Case(
        "role.owns_db",
        "info",
        "role app owns database appdb",
        sql=(f"ALTER DATABASE {DB} OWNER TO {APP}",),
        undone=(f"ALTER DATABASE {DB} OWNER TO postgres",),
    ),
    Case(
        "role.owns_tables",
        "info",
        "role app owns 1 tables",
        sql=("CREATE TABLE owned ()", f"ALTER TABLE owned OWNER TO {APP}"),
        undone=("DROP TABLE owned",),
    ),
    Case(
        "role.shared",
        "info",
        "the role of web, worker",
        client={"services": TWO},
        mended={"services": TWO[:1]},
    ),
    Case("role.public_create", "warn", "may create objects in schema public", sql=(OPEN,)),
    Case(
        "role.search_path",
        "warn",
        "'app,public' is the name of one schema, not of 2",
        sql=(f"ALTER ROLE {APP} SET search_path = 'app,public'",),
    ),
    Case(
        "role.search_path",
        "warn",
        "objects in public, which is searched before others",
        sql=(OPEN, f"ALTER ROLE {APP} SET search_path = public, app"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_fires_until_mended(case: Case, well: Well, tmp_path: Path) -> None:
    """Each privilege is found, and the statement of the finding takes it away."""
    shown(case, well, tmp_path)


def test_createrole_is_worse_before_16(well_tls: Server, tmp_path: Path) -> None:
    """There it gives itself every role that is no superuser."""
    run_sql(well_tls, (f"ALTER ROLE {APP} CREATEROLE",))
    (said,) = of(tmp_path, settings(well_tls), "role.createrole")
    run_sql(well_tls, PUT_BACK)
    assert said.status == ("fail" if well_tls.version < 16 else "warn")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('"$user", public', ["$user", "public"]),
        ("app, Public", ["app", "public"]),
        ('"app,public"', ["app,public"]),
        ('"a""b",c', ['a"b', "c"]),
        ("", []),
    ],
)
def test_a_path_is_read_as_postgresql_does(text: str, path: list[str]) -> None:
    """Quotes keep commas and case."""
    assert elements(text) == path
