from __future__ import annotations

from dataclasses import replace

import pytest
from tests.audit.program import APP, DB, RESET, Well, run_sql

from pgstrata.audit.remedy import for_client, for_program, for_role, for_server, managed_by
from pgstrata.audit.view import View


def changed(well: Well, name: str, **row: object) -> View:
    """Return what is seen, with another row for a parameter."""
    rows = [one for one in well.view.rows("settings") if one["name"] != name]
    there = well.view.settings.get(name, {"name": name, "context": "user", "sourcefile": None})
    facts = {**well.view.snapshot.facts, "settings": (*rows, {**there, **row})}
    return View(well.view.client, replace(well.view.snapshot, facts=facts))


def test_the_statement_for_the_program_works(well: Well) -> None:
    """It touches the program's role in its database, and nobody else."""
    fix = for_program(well.view, "work_mem", "5MB")
    assert (fix.statement, fix.applies) == (
        f"ALTER ROLE {APP} IN DATABASE {DB} SET work_mem = '5MB';",
        "new sessions",
    )
    run_sql(well.server, (fix.statement,))
    there = well.server.sql("SELECT setconfig FROM pg_db_role_setting")
    run_sql(well.server, RESET)
    assert there == [(["work_mem=5MB"],)]


@pytest.mark.parametrize(
    ("name", "value", "applies"),
    [
        ("max_connections", "70", "restart"),
        ("fsync", "on", "reload"),
        ("work_mem", "5MB", "reload"),
        ("log_connections", "all", "new sessions"),
    ],
)
def test_the_statement_for_the_server_works(
    well: Well, name: str, value: str, applies: str
) -> None:
    """And it takes effect when it says so."""
    (fix,) = for_server(well.view, name, value)
    assert fix.applies == applies
    run_sql(well.server, tuple(part for part in fix.statement.split(";") if part.strip()))
    row = well.server.sql(f"SELECT pending_restart FROM pg_settings WHERE name = '{name}'")
    run_sql(well.server, ("ALTER SYSTEM RESET ALL",))
    assert row == [(applies == "restart",)]


def test_where_alter_system_has_no_effect(well: Well) -> None:
    """The place that has one is named instead."""
    fixes = {
        "command line": changed(well, "fsync", source="command line"),
        "ALTER SYSTEM has no effect": changed(well, "fsync", source="environment variable"),
        "parameter group": changed(well, "rds.superuser_reserved_connections"),
        "postgresql.conf:": changed(well, "allow_alter_system", setting="off"),
    }
    for words, view in fixes.items():
        (fix,) = for_server(view, "fsync", "on")
        assert words in fix.statement
        assert "ALTER SYSTEM SET" not in fix.statement
    assert managed_by(fixes["parameter group"])
    assert not managed_by(well.view)


def test_a_role_and_a_file_of_the_client(well: Well) -> None:
    """Neither touches anything of the server but the role."""
    fix = for_role(well.view, "NOCREATEDB", "rolcreatedb")
    assert fix.statement == f"ALTER ROLE {APP} NOCREATEDB;"
    assert well.server.sql(fix.verify) == [(False,)]
    assert for_client(well.view, "pooler: session").statement == (
        "pooler: session  # in environments/production.yaml"
    )
