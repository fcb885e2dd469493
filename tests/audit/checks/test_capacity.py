from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from pathlib import Path

import psycopg
import pytest
from tests.audit.program import (
    APP,
    DB,
    Case,
    Well,
    audited,
    environments,
    merged,
    of,
    settings,
    shown,
    wait_for,
)

from pgstrata.audit.checks.capacity.slots import slots
from pgstrata.audit.model import Row, Snapshot
from pgstrata.audit.view import View
from pgstrata.check.scope import Connection
from pgstrata.recommend.capacity import LEAST, RESERVED, max_connections
from pgstrata.recommend.server import servers

CASES = (
    Case(
        "cap.slots",
        "fail",
        "may open 80 connections",
        client={"services": [{"name": "web", "replicas": 20}]},
        mended={"services": [{"name": "web", "replicas": 2}]},
    ),
    Case(
        "cap.slots",
        "warn",
        "may open 52 connections, others have 2",
        client={"services": [{"name": "web", "replicas": 10, "surge": 3}]},
        mended={"services": [{"name": "web", "replicas": 10, "surge": 2}]},
    ),
    Case(
        "cap.slots",
        "fail",
        "others have 55",
        client={"server": {"other_connections": 55}},
        mended={"server": {"other_connections": 5}},
    ),
    Case(
        "cap.slots",
        "fail",
        "there are 60 slots",  # none is reserved from a superuser
        client={"services": [{"name": "web", "replicas": 20}]},
        sql=(f"ALTER ROLE {APP} SUPERUSER",),
        mended={"services": [{"name": "web"}]},
    ),
    Case(
        "cap.role_limit",
        "fail",
        "8 connections as app, whose limit is 3",
        sql=(f"ALTER ROLE {APP} CONNECTION LIMIT 3",),
    ),
    Case(
        "cap.db_limit",
        "fail",
        "8 connections to appdb, whose limit is 3",
        sql=(f"ALTER DATABASE {DB} CONNECTION LIMIT 3",),
    ),
    Case(
        "cap.pooler",
        "fail",
        "8 connections for 4 clients of the pooler",
        client={"pooler": "session", "server": {"pooler_clients": 4, "pooler_connections": 9}},
        mended={"server": {"pooler_clients": 100}},
    ),
    Case(
        "cap.pooler",
        "fail",
        "99 connections for 57 slots of the server",
        client={"pooler": "session", "server": {"pooler_clients": 9, "pooler_connections": 99}},
        mended={"server": {"pooler_connections": 20}},
    ),
    Case(
        "cap.cpu",
        "warn",
        "20 connections to 1 cores",
        client={"server": {"cpus": 1}, "services": [{"name": "web", "replicas": 5}]},
        mended={"server": {"cpus": 2}},
    ),
    Case(
        "cap.work_mem",
        "warn",
        "8 connections with one hash each may use 16.0 GiB of 0.4 GiB",
        client={"session_settings": {"work_mem": "1GB"}},
        mended={"session_settings": {"work_mem": "4MB"}},
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_fires_until_mended(case: Case, well: Well, tmp_path: Path) -> None:
    """Each limit is found to be too low, and found no more when it is raised or asked less of."""
    shown(case, well, tmp_path)


def test_slots_behind_a_pooler_are_raised_on_standbys_first(well: Well, tmp_path: Path) -> None:
    """The other way round replay stops."""
    behind = {"pooler": "session", "server": {"pooler_clients": 9, "pooler_connections": 99}}
    files = merged(settings(well.server), behind)
    said = of(tmp_path, files, "cap.pooler", well.view.snapshot)
    (failed,) = [one for one in said if one.status == "fail"]
    statements = [fix.statement for fix in failed.outcome.fix]
    assert statements[0] == "-- on every standby first: max_connections = 109"
    assert statements[1].startswith("max_connections: 109 at least")


def test_a_work_mem_of_the_server_is_made_smaller_for_the_program_alone(
    well: Well, tmp_path: Path
) -> None:
    """The fix is a value that fits."""
    sql = (f"ALTER DATABASE {DB} SET work_mem = '1GB'",)
    shown(Case("cap.work_mem", "warn", "16.0 GiB", sql=sql), well, tmp_path)


def test_a_full_server(well: Well, tmp_path: Path) -> None:
    """Sessions that are there now are counted against the slots; a full server says so itself."""
    with ExitStack() as stack:
        hold(well, stack, 46)
        (said,) = of(tmp_path, settings(well.server), "cap.headroom_now")
        assert said.status == "warn"
        assert int(said.outcome.observed) >= 46
        hold(well, stack, 14)
        (client,) = environments(tmp_path, production=settings(well.server))
        (said,) = audited([client], "cap.headroom_now")
        assert said.status == "fail"
        assert "too many clients" in said.outcome.message
    wait_for(well.server, "SELECT count(*) < 5 FROM pg_stat_activity WHERE datid IS NOT NULL")
    (said,) = of(tmp_path, settings(well.server), "cap.headroom_now")
    assert said.status == "ok"


def hold(well: Well, stack: ExitStack, count: int) -> None:
    """Open so many sessions more; one of an earlier look may hold its slot for a moment longer."""
    deadline = time.monotonic() + 60
    while count:
        assert time.monotonic() < deadline
        with suppress(psycopg.OperationalError):
            stack.enter_context(psycopg.connect(**well.server.keywords()))
            count -= 1


def test_ghosts_of_the_program(well: Well, tmp_path: Path) -> None:
    """More sessions under the program's name than its services may open."""
    files = settings(well.server) | {"services": [{"name": "web", "types": ["normal"]}]}
    keywords = well.server.keywords(user=APP, dbname=DB, application_name="web")
    with psycopg.connect(**keywords), psycopg.connect(**keywords):
        (said,) = of(tmp_path, files, "cap.ghosts")
        assert said.status == "info"
        assert said.outcome.message.startswith("2 sessions call themselves web")
    wait_for(well.server, f"SELECT count(*) = 0 FROM pg_stat_activity WHERE usename = '{APP}'")
    (said,) = of(tmp_path, files, "cap.ghosts")
    assert said.status == "ok"


def test_lost_sessions(well: Well, tmp_path: Path) -> None:
    """Sessions that somebody ended are reported until the statistics are reset."""
    with psycopg.connect(**well.server.keywords(user=APP, dbname=DB)) as victim:
        well.server.sql(f"SELECT pg_terminate_backend({victim.info.backend_pid}, 10000)")
        wait_for(
            well.server, f"SELECT sessions_killed > 0 FROM pg_stat_database WHERE datname = '{DB}'"
        )
        (said,) = of(tmp_path, settings(well.server), "cap.lost")
        assert said.status == "info"
        well.server.sql("SELECT pg_stat_reset()", DB)
        wait_for(
            well.server, f"SELECT sessions_killed = 0 FROM pg_stat_database WHERE datname = '{DB}'"
        )
        (said,) = of(tmp_path, settings(well.server), "cap.lost")
        assert said.status == "ok"
        victim.close()


def test_without_services_nothing_is_said_of_capacity(well: Well, tmp_path: Path) -> None:
    """What is not declared is asked for by name."""
    (said,) = of(tmp_path, settings(well.server) | {"services": []}, "cap.slots")
    assert said.status == "unknown"
    assert said.outcome.message == "no services are declared"


@pytest.mark.parametrize("other", [None, 1, 40])
@pytest.mark.parametrize("demands", [(1,), (91,), (182,), (95, 7, 33)], ids=str)
def test_what_recommend_asks_for_is_enough(
    tmp_path: Path, demands: tuple[int, ...], other: int | None
) -> None:
    """The two are of one mind: no slot less would do, where that is above PostgreSQL's own."""
    files = {
        "connection_settings": {"host": "db.example.com", "user": "role0", "dbname": DB},
        "connections": {
            f"c{n}": {"connection_settings": {"user": f"role{n}"}} for n in range(1, len(demands))
        },
        "services": [
            {"name": f"s{n}", "processes": most, "connection": f"c{n}" if n else "default"}
            for n, most in enumerate(demands)
        ],
        "server": {"other_connections": other},
    }
    (client,) = environments(tmp_path, production=files)
    (server,) = servers(client.config)
    most = max_connections(server)
    assert most is not None
    assert slots_status(client, most) == "ok"
    if most > LEAST and len(demands) == 1:
        assert slots_status(client, most - 1) == "warn"


def slots_status(client: Connection, most: int) -> str:
    """Return what is said of a server with this max_connections and nobody connected."""
    values = {"max_connections": most, "superuser_reserved_connections": RESERVED}
    nowhere = {"unit": None, "sourcefile": None, "sourceline": None}
    rows: tuple[Row, ...] = tuple(
        {**nowhere, "name": name, "setting": str(value), "reset_val": str(value)}
        | {"source": "default", "context": "postmaster"}
        for name, value in values.items()
    )
    role: tuple[Row, ...] = ({"rolsuper": False},)
    facts = {"settings": rows, "role": role, "memberships": (), "connections": ()}
    place = ("production", "default", "db.example.com", "5432", "")
    (said,) = slots(View(client, Snapshot(*place, viewer="role0", facts=facts)))
    return said.status
