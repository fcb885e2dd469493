from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.audit.program import (
    APP,
    CONF,
    DB,
    HBA,
    Well,
    audited,
    by_id,
    environments,
    merged,
    prepared,
    settings,
)
from tests.servers import Server, embedded_bindir

from pgstrata.audit.judge import judge
from pgstrata.audit.model import Result, Row, Snapshot
from pgstrata.audit.view import View

TWIN = "twin"  # of appdb, in the same cluster


@pytest.fixture(scope="module")
def twin(well: Well) -> Iterator[Server]:
    """Return the well server with a second database, whose locale has a version."""
    # The builtin provider is the one that every build of 17 and newer has.
    well.server.sql(
        f"CREATE DATABASE {TWIN} LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"
        " TEMPLATE template0"
    )
    hba = [line.replace(DB, "all", 1) for line in HBA]
    well.server.set_hba(hba)
    well.server.reload()
    yield well.server
    well.server.set_hba(HBA)
    well.server.reload()
    well.server.sql(f"DROP DATABASE {TWIN}")


@pytest.fixture(scope="module")
def older() -> Iterator[Server]:
    """Return a server of another major version, with smaller limits."""
    conf = CONF.replace("max_connections = 60", "max_connections = 30")
    with Server.running(embedded_bindir(16), conf=conf, hba=HBA) as running:
        yield prepared(running)


def compared(folder: Path, check: str, first: Server, dbname: str = DB) -> list[Result]:
    """Return what a check says of staging, where production is as the first server's appdb."""
    production = settings(first) | {"protected": True}
    staging = settings(first, dbname=dbname)
    clients = environments(folder, staging=staging, production=production)
    return list(audited(clients, check))


def against(folder: Path, check: str, well: Well, other: Server) -> list[Result]:
    """Return what a check says of staging on another server than production."""
    production = settings(well.server) | {"protected": True}
    clients = environments(folder, staging=settings(other), production=production)
    return list(audited(clients, check))


def test_versions(well: Well, older: Server, tmp_path: Path) -> None:
    """Another major version is a fault of the environment that is not the model."""
    (said,) = against(tmp_path, "par.version", well, older)
    assert (said.status, said.environment) == ("fail", "staging")
    (said,) = compared(tmp_path, "par.version", well.server)
    assert said.status == "ok"


def test_scaled_parameters(well: Well, older: Server, tmp_path: Path) -> None:
    """They are said with their ratio."""
    said = against(tmp_path, "par.scaled", well, older)
    (found,) = [one for one in said if one.outcome.object == "max_connections"]
    assert found.outcome.message == "max_connections: 30 in staging, 60 in production, 0.5 times"
    assert {one.status for one in said} == {"info"}
    (same,) = compared(tmp_path, "par.scaled", well.server)
    assert same.status == "ok"


def test_locales(twin: Server, tmp_path: Path) -> None:
    """Provider and locale are compared, and the same database is the same."""
    said = compared(tmp_path, "par.encoding", twin, TWIN)
    fixes = {one.outcome.object: one.outcome.fix[0].statement for one in said}
    assert fixes.keys() >= {"provider", "locale"}
    assert "LOCALE_PROVIDER 'libc' TEMPLATE" in fixes["provider"]
    assert "… TEMPLATE template0" in fixes["locale"]
    assert {one.status for one in said} == {"fail"}
    (same,) = compared(tmp_path, "par.encoding", twin)
    assert same.status == "ok"


def test_versions_of_the_collation_library(twin: Server, tmp_path: Path) -> None:
    """C has none, the builtin one has."""
    (said,) = compared(tmp_path, "par.collation", twin, TWIN)
    assert (said.status, said.outcome.expected) == ("warn", "none")
    (same,) = compared(tmp_path, "par.collation", twin)
    assert same.status == "ok"


def test_indexes_of_an_older_library(twin: Server, tmp_path: Path) -> None:
    """REINDEX comes first, REFRESH after it, and then it is quiet."""
    twin.sql(f"UPDATE pg_database SET datcollversion = '0' WHERE datname = '{TWIN}'")
    clients = environments(tmp_path, production=settings(twin, dbname=TWIN))
    (said,) = audited(clients, "par.collation_stale")
    assert said.status == "fail"
    statements = [fix.statement.partition(";")[0] for fix in said.outcome.fix]
    assert [one.split()[0] for one in statements] == ["REINDEX", "ALTER"]
    for statement in statements:
        twin.sql(statement, TWIN)
    (said,) = audited(clients, "par.collation_stale")
    assert said.status == "ok"


def test_extensions(twin: Server, tmp_path: Path) -> None:
    """One that only one of them has, until the statement of the finding was run."""
    twin.sql("DROP EXTENSION plpgsql", TWIN)
    (said,) = compared(tmp_path, "par.extensions", twin, TWIN)
    assert (said.status, said.outcome.observed) == ("warn", "none")
    twin.sql(said.outcome.fix[0].statement, TWIN)
    (said,) = compared(tmp_path, "par.extensions", twin, TWIN)
    assert said.status == "ok"


def test_behaviour(twin: Server, tmp_path: Path) -> None:
    """As the program's session has it, with what ALTER DATABASE gives it."""
    twin.sql(f"ALTER DATABASE {TWIN} SET TimeZone = 'Europe/Berlin'")
    (said,) = compared(tmp_path, "par.behaviour", twin, TWIN)
    assert (said.status, said.outcome.object) == ("warn", "TimeZone")
    assert said.outcome.observed == "Europe/Berlin"
    twin.sql(said.outcome.fix[0].statement)
    (said,) = compared(tmp_path, "par.behaviour", twin, TWIN)
    assert said.status == "ok"
    twin.sql(f"ALTER ROLE {APP} IN DATABASE {TWIN} RESET ALL")


def judged(folder: Path, check: str, well: Well, staging: Snapshot, **over: Any) -> list[Result]:
    """Return what a check says of staging with this snapshot, where production is the well one."""
    own = settings(well.server)
    clients = environments(folder, staging=merged(own, over), production=own | {"protected": True})
    snapshots = (staging, well.view.snapshot)
    views = [View(client, seen) for client, seen in zip(clients, snapshots, strict=True)]
    return list(judge(views, [by_id()[check]]))


def with_rows(seen: Snapshot, fact: str, change: Callable[[Row], Row]) -> Snapshot:
    """Return a snapshot with each row of a fact changed."""
    return replace(seen, facts={**seen.facts, fact: tuple(map(change, seen.facts[fact]))})


def before_15(row: Row) -> Row:
    """Return a row of pg_database as a server without locale providers has it."""
    return {**row, "db": {k: v for k, v in row["db"].items() if k != "datlocprovider"}}


def test_before_15_the_provider_is_libc(well: Well, tmp_path: Path) -> None:
    """Where no column says so, too."""
    older = with_rows(well.view.snapshot, "database", before_15)
    assert [one.status for one in judged(tmp_path, "par.encoding", well, older)] == ["ok"]


@pytest.mark.parametrize(("check", "name"), [("par.behaviour", "jit"), ("par.scaled", "work_mem")])
def test_what_the_auditors_role_hides_is_not_called_alike(
    well: Well, tmp_path: Path, check: str, name: str
) -> None:
    """No statement would show it, and it is unknown all the same."""
    mine = with_rows(
        well.view.snapshot,
        "settings",
        lambda row: {**row, "source": "user"} if row["name"] == name else row,
    )
    (said,) = judged(tmp_path, check, well, mine)
    assert said.status == "unknown"
    assert name in said.outcome.message


@pytest.mark.parametrize("name", ["TimeZone", "DateStyle", "IntervalStyle"])
def test_names_in_mixed_case_are_those_of_the_client(well: Well, tmp_path: Path, name: str) -> None:
    """Its files keep them in lower case."""
    value = {"TimeZone": "Europe/Berlin", "DateStyle": "German"}.get(name, "iso_8601")
    seen = well.view.snapshot
    found = judged(tmp_path, "par.behaviour", well, seen, session_settings={name: value})
    assert [(one.status, one.outcome.object) for one in found] == [("warn", name)]
    assert found[0].outcome.observed == value


def test_a_plain_role_compares_what_it_may_see(twin: Server, tmp_path: Path) -> None:
    """The rest is unknown, with the statement that would show it; it is not called missing."""
    production = settings(twin) | {"protected": True}
    clients = environments(tmp_path, staging=settings(twin), production=production)
    said = audited(clients, "par.behaviour", login="")
    (hidden,) = {one.gap.grant for one in said if one.gap}
    assert hidden == f"GRANT pg_read_all_settings TO {APP};"
    assert [(one.environment, one.status) for one in said] == [("staging", "unknown")]
