"""What the program's session has, compared with what a session of the program says itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.audit.program import (
    APP,
    AUDITOR,
    DB,
    RESET,
    Well,
    environments,
    merged,
    run_sql,
    settings,
)

from pgstrata import PGConnectionManager
from pgstrata.audit.model import Gap, Snapshot, UnreadError
from pgstrata.audit.run import look
from pgstrata.audit.view import View, fleet

NAME = "lock_timeout"
# Weakest first: each one is laid over those before it.
LEVELS = (
    ("ALTER SYSTEM SET lock_timeout = '1s'", "postgresql.auto.conf:"),
    ("ALTER ROLE ALL SET lock_timeout = '2s'", "ALTER ROLE ALL"),
    (f"ALTER DATABASE {DB} SET lock_timeout = '3s'", f"ALTER DATABASE {DB}"),
    (f"ALTER ROLE {APP} SET lock_timeout = '4s'", f"ALTER ROLE {APP}"),
    (
        f"ALTER ROLE {APP} IN DATABASE {DB} SET lock_timeout = '5s'",
        f"ALTER ROLE {APP} IN DATABASE {DB}",
    ),
)


def seen(folder: Path, files: Mapping[str, Any], login: str = AUDITOR) -> View:
    """Return what is seen of one environment."""
    (view,) = look(environments(folder, production=files), login=login, probe=False)
    return view


def files_of(well: Well, **sections: Any) -> dict[str, Any]:
    """Return the program's files without session settings, and with these sections."""
    return settings(well.server) | {"session_settings": {}, **sections}


def says_itself(folder: Path) -> str:
    """Return what a session of the program itself has."""
    manager = PGConnectionManager("production", project=folder, environ={})
    with manager.normal() as connection:
        row = connection.execute("SELECT setting FROM pg_settings WHERE name = %s", [NAME])
        return str((row.fetchone() or ("",))[0])


@pytest.mark.parametrize("login", [AUDITOR, ""], ids=["auditor", "the program itself"])
def test_the_strongest_level_counts(well: Well, tmp_path: Path, login: str) -> None:
    """As in a session of the program, whoever looks; and the place is said."""
    try:
        for number, (statement, place) in enumerate(LEVELS, 1):
            run_sql(well.server, (statement,))
            found = seen(tmp_path, files_of(well), login).session(NAME)
            assert found.number == number * 1000
            assert place in found.source or login == ""
            assert says_itself(tmp_path) == f"{found.number:.0f}"
        files = files_of(well, session_settings={NAME: "6s"})
        assert seen(tmp_path, files, login).session(NAME).client
        assert says_itself(tmp_path) == "6000"
    finally:
        run_sql(well.server, (*RESET, "ALTER ROLE ALL RESET ALL", "ALTER SYSTEM RESET ALL"))


@pytest.mark.parametrize(
    ("sections", "kind", "value"),
    [
        ({"session_settings": {NAME: "6s"}}, "normal", 6000),
        ({"session_settings": {NAME: "6s"}, "sync_settings": {NAME: "7s"}}, "pool", 7000),
        ({"session_settings": {NAME: "6s"}, "sync_settings": {NAME: "7s"}}, "async", 6000),
        ({"async_settings": {NAME: "8s"}}, "async_pool", 8000),
        ({"connection_settings": {"options": f"-c {NAME}=9s"}}, "normal", 9000),
        ({"connection_settings": {"options": "--lock-timeout=10s"}}, "normal", 10000),
    ],
)
def test_what_the_client_gives_each_type(
    well: Well, tmp_path: Path, sections: dict[str, Any], kind: str, value: int
) -> None:
    """Its own kind's section is over the common one."""
    files = merged(files_of(well), sections)
    (client,) = environments(tmp_path, production=files)
    found = View(client, well.view.snapshot).session(NAME, kind)
    assert (found.value, found.client) == (value, True)


def test_behind_a_pooler_the_clients_own_do_not_count(well: Well, tmp_path: Path) -> None:
    """What ALTER ROLE says does."""
    files = files_of(well, pooler="transaction")
    files |= {"session_settings": {}}  # refused with such a pooler, so there are none to count
    (client,) = environments(tmp_path, production=files)
    assert View(client, well.view.snapshot).session(NAME).number == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [("work_mem", "9MB"), ("statement_timeout", "15s"), ("search_path", "evil")],
)
def test_settings_of_the_auditor_hide_those_of_the_server(
    well: Well, tmp_path: Path, name: str, value: str
) -> None:
    """What cannot be told is not told, whether or not the audit sets it too."""
    well.server.sql(f"ALTER ROLE postgres SET {name} = '{value}'")
    try:
        view = seen(tmp_path, files_of(well))
        with pytest.raises(UnreadError, match="hides that of the server"):
            view.session(name)
    finally:
        well.server.sql("ALTER ROLE postgres RESET ALL")


def test_hidden_is_not_missing(well: Well, tmp_path: Path) -> None:
    """A parameter that the viewer may not see has a GRANT, one that the version lacks has none."""
    view = seen(tmp_path, files_of(well), login="")
    gaps: dict[str, Gap] = {}
    for name in ("ssl_ciphers", "no_such_parameter"):
        with pytest.raises(UnreadError) as raised:
            view.server(name)
        gaps[name] = raised.value.gap
    assert gaps["ssl_ciphers"].grant == f"GRANT pg_read_all_settings TO {APP};"
    assert gaps["no_such_parameter"] == Gap("PostgreSQL 18 has no no_such_parameter")


def test_demands_are_those_of_the_same_server(well: Well, tmp_path: Path) -> None:
    """A connection to another server is another's."""
    files = files_of(well)
    files["connections"]["elsewhere"] = {"connection_settings": {"port": 1}}
    files["connections"]["beside"] = {"connection_settings": {"user": "postgres"}}
    files["services"] = [
        {"name": name, "connection": name, "types": ["normal"]} for name in ("elsewhere", "beside")
    ]
    (client,) = environments(tmp_path, production=files)
    view = View(client, well.view.snapshot)
    assert [demand.service for demand in view.demands] == ["beside"]
    assert view.demand == 1


@pytest.mark.parametrize(
    ("staging", "said"),
    [
        ({}, {"web": 8, "web of staging": 8}),
        ({"services": []}, {"web": 8}),
        ({"pooler": "session"}, {"web": 8}),
    ],
)
def test_demands_of_all_environments_on_one_server_are_summed(
    well: Well, tmp_path: Path, staging: dict[str, Any], said: dict[str, int]
) -> None:
    """Whatever names lead to it, and not through a pooler, which has slots of its own."""
    other = files_of(well, **staging)
    other["connection_settings"] |= {"host": "an.alias"}
    clients = environments(tmp_path, production=files_of(well), staging=other)
    snapshots = (well.view.snapshot, replace(well.view.snapshot, host="an.alias"))
    views = [View(one, seen) for one, seen in zip(clients, snapshots, strict=True)]
    view = fleet(views).views[0]
    assert {demand.service: demand.most for demand in view.demands} == said
    assert view.demand == sum(said.values())


def test_another_server_of_the_same_cluster_has_slots_of_its_own(
    well: Well, tmp_path: Path
) -> None:
    """As a standby has."""
    clients = environments(tmp_path, production=files_of(well), staging=files_of(well))
    facts = well.view.snapshot.facts
    later = ({**facts["identity"][0], "started": "2026-01-01T00:00:00.000001+00:00"},)
    standby = replace(well.view.snapshot, facts={**facts, "identity": later})
    snapshots = (well.view.snapshot, standby)
    views = [View(one, seen) for one, seen in zip(clients, snapshots, strict=True)]
    assert [view.demand for view in fleet(views).views] == [8, 8]


def test_a_session_of_the_program_is_not_disturbed(well: Well, tmp_path: Path) -> None:
    """An audit beside it leaves its settings alone."""
    keywords = well.server.keywords(user=APP, dbname=DB)
    with psycopg.connect(**keywords) as connection:
        before = connection.execute("SELECT name, setting FROM pg_settings").fetchall()
        seen(tmp_path, files_of(well))
        assert connection.execute("SELECT name, setting FROM pg_settings").fetchall() == before


def test_an_embedded_server_says_by_itself_who_logs_in(tmp_path: Path) -> None:
    """The configured role need not be there, and is not the one that is judged."""
    own = {"local": True, "connection_settings": {"user": "app", "dbname": "app"}}
    (client,) = environments(tmp_path, production=own)
    snapshot = Snapshot("production", "default", "127.0.0.1", "5432", "", viewer="postgres")
    assert View(client, snapshot).user == "postgres"
