from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.audit.program import (
    APP,
    CONF,
    DB,
    HBA,
    Well,
    audited,
    environments,
    prepared,
    settings,
)
from tests.servers import Server, embedded_bindir

from pgstrata.audit.model import Result

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
    assert {one.outcome.object for one in said} >= {"provider", "locale"}
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


def test_a_plain_role_compares_what_it_may_see(twin: Server, tmp_path: Path) -> None:
    """The rest is unknown, with the statement that would show it; it is not called missing."""
    production = settings(twin) | {"protected": True}
    clients = environments(tmp_path, staging=settings(twin), production=production)
    said = audited(clients, "par.behaviour", login="")
    (hidden,) = {one.gap.grant for one in said if one.gap}
    assert hidden == f"GRANT pg_read_all_settings TO {APP};"
    assert {one.status for one in said} == {"ok", "unknown"}
