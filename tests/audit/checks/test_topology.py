from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.audit.program import (
    APP,
    DB,
    Well,
    audited,
    by_id,
    environments,
    merged,
    reload,
    settings,
    wait_for,
)
from tests.pooler import pgbouncer
from tests.proxy import Proxy
from tests.servers import PASSWORD, Server
from tests.standby import Standby

from pgstrata.audit.judge import judge
from pgstrata.audit.model import Gap
from pgstrata.audit.view import View
from pgstrata.statements import literal

STREAMS = "SELECT count(*) = 1 FROM pg_stat_wal_receiver WHERE status = 'streaming'"
USERS = {APP: PASSWORD, "postgres": PASSWORD}


def through(servers: list[Server], attrs: str | None) -> dict[str, Any]:
    """Return the files of a program with these servers as its hosts."""
    hosts = {
        "host": ",".join(server.host for server in servers),
        "port": ",".join(str(server.port) for server in servers),
    }
    return settings(servers[0], **hosts, target_session_attrs=attrs)


def say(folder: Path, check: str, files: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the status of each result, and the port of the server it is about."""
    results = audited(environments(folder, production=files), check)
    return [(result.status, result.server.partition(":")[2]) for result in results]


def test_a_standby_where_a_primary_was_meant(pair: tuple[Server, Standby], tmp_path: Path) -> None:
    """By what the client asks for, or because it writes; with the primary among the hosts all is
    well.
    """
    primary, standby = pair
    ports = [str(primary.port), str(standby.port)]
    alone = through([standby], "read-write")
    assert say(tmp_path, "topo.role", alone) == [("fail", ports[1])]
    assert say(tmp_path, "topo.role", through([standby], None)) == [("warn", ports[1])]
    protected = through([standby], None) | {"protected": True}
    assert say(tmp_path, "topo.role", protected) == [("fail", ports[1])]
    for attrs in ("standby", "any", "read-only"):
        assert say(tmp_path, "topo.role", through([standby], attrs)) == [("ok", ports[1])]
    assert say(tmp_path, "topo.role", through([primary], "standby")) == [("fail", ports[0])]
    both = through([primary, standby], "read-write")
    assert say(tmp_path, "topo.role", both) == [("ok", ports[0]), ("ok", ports[1])]


GONE = 1  # no server listens there


def beside_one_that_is_gone(server: Server, attrs: str | None) -> dict[str, Any]:
    """Return the files of a program with a second host that nobody can look at."""
    hosts = {"host": f"{server.host},{server.host}", "port": f"{server.port},{GONE}"}
    return settings(server, **hosts, target_session_attrs=attrs)


@pytest.mark.parametrize(
    ("check", "at", "attrs", "status"),
    [
        ("topo.no_primary", "primary", "read-write", "unknown"),
        ("topo.no_primary", "standby", None, "unknown"),
        ("topo.no_primary", "standby", "standby", "ok"),
        ("topo.role", "standby", "read-write", "unknown"),
        ("topo.role", "primary", "standby", "unknown"),
        ("topo.role", "primary", "read-write", "ok"),
    ],
)
def test_a_host_that_is_not_seen_may_be_what_is_missing(
    pair: tuple[Server, Standby], tmp_path: Path, check: str, at: str, attrs: str, status: str
) -> None:
    """Nothing is called good or bad that its answer could change."""
    server = pair[at == "standby"]
    said = say(tmp_path, check, beside_one_that_is_gone(server, attrs))
    assert said == [(status, str(server.port)), ("unknown", str(GONE))]


def test_standbys_alone_are_enough_for_who_only_reads(
    pair: tuple[Server, Standby], tmp_path: Path
) -> None:
    """No primary is asked for."""
    files = through([pair[1], pair[1]], "standby")
    assert {status for status, _ in say(tmp_path, "topo.no_primary", files)} == {"ok"}


def test_the_number_of_primaries(well: Well, pair: tuple[Server, Standby], tmp_path: Path) -> None:
    """None and two are faults, one is not."""
    primary, standby = pair
    none = through([standby, standby], "any")
    assert {status for status, _ in say(tmp_path, "topo.no_primary", none)} == {"fail"}
    two = through([primary, well.server], "any")
    assert [status for status, _ in say(tmp_path, "topo.no_primary", two)] == ["fail", "fail"]
    one = through([primary, standby], "any")
    assert say(tmp_path, "topo.no_primary", one) == [("ok", str(primary.port))]


def test_a_standby_that_is_late(pair: tuple[Server, Standby], tmp_path: Path) -> None:
    """Paused replay is seen at the standby, how far it is at both."""
    primary, standby = pair
    wait_for(standby, STREAMS)
    files = through([standby], "any")
    standby.sql("SELECT pg_wal_replay_pause()")
    wait_for(standby, "SELECT pg_get_wal_replay_pause_state() = 'paused'")
    assert ("warn", str(standby.port)) in say(tmp_path, "topo.lag", files)
    standby.sql("SELECT pg_wal_replay_resume()")
    wait_for(standby, "SELECT pg_get_wal_replay_pause_state() = 'not paused'")
    assert say(tmp_path, "topo.lag", files) == [("ok", str(standby.port))] * 2
    assert say(tmp_path, "topo.lag", through([primary], "any")) == [("ok", str(primary.port))]


def test_a_standby_that_lost_its_primary(pair: tuple[Server, Standby], tmp_path: Path) -> None:
    """It has replayed all that it received, and that is not enough; until it receives again."""
    standby = pair[1]
    files = through([standby], "any")
    ((primary,),) = standby.sql("SELECT current_setting('primary_conninfo')")
    wait_for(standby, STREAMS)
    standby.sql("ALTER SYSTEM SET wal_retrieve_retry_interval = '50ms'")
    standby.sql("ALTER SYSTEM SET primary_conninfo = ''")
    reload(standby)
    wait_for(standby, "SELECT count(*) = 0 FROM pg_stat_wal_receiver")
    (said,) = audited(environments(tmp_path, production=files), "topo.lag")
    assert (said.status, said.outcome.object, said.outcome.observed) == ("warn", "receiver", "none")
    standby.sql(f"ALTER SYSTEM SET primary_conninfo = {literal(primary)}")
    reload(standby)
    wait_for(standby, STREAMS)
    assert say(tmp_path, "topo.lag", files) == [("ok", str(standby.port))] * 2


def test_whether_it_receives_is_shown_to_members_alone(
    pair: tuple[Server, Standby], tmp_path: Path
) -> None:
    """Without that nothing is called good of a standby."""
    files = through([pair[1]], "any")
    (said,) = audited(environments(tmp_path, production=files), "topo.lag", login="")
    assert said.status == "unknown"
    assert said.gap is not None
    assert said.gap.grant == f"GRANT pg_monitor TO {APP};"


def test_limits_are_raised_on_the_standby_first(
    pair: tuple[Server, Standby], tmp_path: Path
) -> None:
    """The other way round replay stops; a fix of cap.slots says so too."""
    primary, standby = pair
    files = through([primary, standby], "any")
    assert say(tmp_path, "cap.standby_first", files) == [("ok", str(standby.port))]
    primary.sql("ALTER SYSTEM RESET synchronous_standby_names")
    primary.sql("ALTER SYSTEM SET max_connections = 120")
    primary.restart()
    (said,) = audited(environments(tmp_path, production=files), "cap.standby_first")
    assert (said.status, said.outcome.object) == ("fail", "max_connections")
    (fix,) = said.outcome.fix
    assert (fix.statement, fix.applies) == (
        "ALTER SYSTEM SET max_connections = '120';",
        "restart",
    )
    standby.sql(fix.statement)
    standby.restart()
    assert say(tmp_path, "cap.standby_first", files) == [("ok", str(standby.port))]
    many = files | {"services": [{"name": "web", "replicas": 100}]}
    (said, _) = audited(environments(tmp_path, production=many), "cap.slots")
    assert said.outcome.fix[0].statement.startswith("-- on every standby first")


def test_two_environments_in_one_cluster(well: Well, tmp_path: Path) -> None:
    """However different the names are; not when both say that it is meant."""
    files = settings(well.server)
    clients = environments(tmp_path, staging=files, production=files)
    said = audited(clients, "topo.same_cluster")
    assert [(r.status, r.outcome.object) for r in said] == [
        ("fail", "production"),
        ("fail", "staging"),
    ]
    meant = merged(files, {"server": {"shared": True}})
    clients = environments(tmp_path, staging=meant, production=meant)
    assert {r.status for r in audited(clients, "topo.same_cluster")} == {"ok"}


def test_who_hides_its_cluster_hides_not_that_others_share_one(well: Well, tmp_path: Path) -> None:
    """It alone is unknown, with the statement that would show it."""
    files = settings(well.server)
    clients = environments(tmp_path, staging=files, production=files, hidden=files)
    facts = {name: rows for name, rows in well.view.snapshot.facts.items() if name != "control"}
    gap = {"control": Gap("may not read", "GRANT it;")}
    views = [View(client, well.view.snapshot) for client in clients[:2]]
    views.append(View(clients[2], replace(well.view.snapshot, facts=facts, gaps=gap)))
    said = judge(views, [by_id()["topo.same_cluster"]])
    assert [one.status for one in said] == ["fail"] * 2 + ["unknown"]


def test_another_cluster_than_the_one_that_is_meant(well: Well, tmp_path: Path) -> None:
    """Where none is declared, any is right."""
    ((there,),) = well.server.sql("SELECT system_identifier::text FROM pg_control_system()")
    for said, status in (("1", "fail"), (there, "ok")):
        files = merged(settings(well.server), {"server": {"system_identifier": said}})
        assert [one for one, _ in say(tmp_path, "topo.wrong_cluster", files)] == [status]
    assert not say(tmp_path, "topo.wrong_cluster", settings(well.server))


def test_a_pooler_that_shares_sessions(well: Well, tmp_path: Path) -> None:
    """Prepared statements and session settings do not survive it; ``pooler: transaction`` and
    ALTER ROLE are the fixes.
    """
    with pgbouncer(well.server, "transaction", USERS) as port:
        files = settings(well.server, port=port)
        assert [one for one, _ in say(tmp_path, "topo.pooler", files)] == ["fail"]
        lost = audited(environments(tmp_path, production=files), "to.lost_in_pooler")
        assert {result.status for result in lost} == {"fail"}
        for result in lost:
            well.server.sql(result.outcome.fix[0].statement)
        assert not say(tmp_path, "to.lost_in_pooler", files)
        knows = {**files, "pooler": "transaction", "session_settings": {}}
        assert [one for one, _ in say(tmp_path, "topo.pooler", knows)] == ["ok"]
        assert [one for one, _ in say(tmp_path, "auth.pooler_user", knows)] == ["ok"]
    well.server.sql(f"ALTER ROLE {APP} IN DATABASE {DB} RESET ALL")


@pytest.mark.parametrize(
    ("says", "status"),
    [
        ({}, "fail"),
        ({"prepared_statements": False}, "info"),
        ({"pooler": "session", "prepared_statements": False}, "info"),
        ({"pooler": "transaction"}, "ok"),
        ({"pooler": "transaction", "prepared_statements": True}, "warn"),
        ({"pooler": "pgbouncer", "prepared_statements": True}, "warn"),
    ],
)
def test_a_pooler_and_statements_that_are_prepared_or_not(
    shared: tuple[Well, int], tmp_path: Path, says: dict[str, Any], status: str
) -> None:
    """What the client says of its own statements counts."""
    well, port = shared
    prepared = says.get("prepared_statements")
    files = settings(well.server, port=port, prepared_statements=prepared)
    files |= {"pooler": says.get("pooler"), "session_settings": {}}
    assert [one for one, _ in say(tmp_path, "topo.pooler", files)] == [status]


@pytest.mark.parametrize(
    ("section", "given", "lost"),
    [
        ("async_settings", {"lock_timeout": "3s"}, ["async_pool lock_timeout"]),
        ("session_settings", {"timezone": "Europe/Berlin"}, ["TimeZone"]),
        ("session_settings", {"app.tenant": "7"}, ["app.tenant"]),
    ],
)
def test_what_is_lost_in_a_pooler_is_found_of_each_type(
    well: Well, tmp_path: Path, section: str, given: dict[str, Any], lost: list[str]
) -> None:
    """Whatever the case of its name, and whether or not the server knows it."""
    files = settings(well.server) | {"async_pool_settings": {"max_size": 2}}
    files |= {"session_settings": {}, section: given}
    (client,) = environments(tmp_path, production=files)
    facts = well.view.snapshot.facts
    shared = ({**facts["client"][0], "shares_backend": True},)
    seen = replace(well.view.snapshot, facts={**facts, "client": shared})
    said = judge([View(client, seen)], [by_id()["to.lost_in_pooler"]])
    assert [(one.status, one.outcome.object) for one in said] == [("fail", name) for name in lost]


@pytest.fixture(scope="module")
def shared(well: Well) -> Iterator[tuple[Well, int]]:
    """Return a server and the port of a pooler of transactions before it."""
    with pgbouncer(well.server, "transaction", USERS) as port:
        yield well, port


def test_what_hands_a_connection_on_is_told(well: Well, tmp_path: Path) -> None:
    """Such a proxy speaks no protocol: only the ports of the two ends differ."""
    with Proxy((well.server.host, well.server.port)) as between:
        files = settings(well.server, port=between.port)
        said = audited(environments(tmp_path, production=files), "topo.pooler", probe=False)
    assert [(one.status, one.outcome.object) for one in said] == [("ok", ""), ("info", "ports")]


def test_a_pooler_that_keeps_sessions(well: Well, tmp_path: Path) -> None:
    """It is worth saying, and saying it is enough."""
    with pgbouncer(well.server, "session", USERS) as port:
        files = settings(well.server, port=port)
        assert [one for one, _ in say(tmp_path, "topo.pooler", files)] == ["info"]
        knows = files | {"pooler": "session"}
        assert [one for one, _ in say(tmp_path, "topo.pooler", knows)] == ["ok"]
    unfound = settings(well.server) | {"pooler": "session"}
    assert [one for one, _ in say(tmp_path, "topo.pooler", unfound)] == ["info"]


@pytest.mark.parametrize(
    ("day", "status"),
    [("2026-11-22", "ok"), ("2030-10-01", "info"), ("2030-11-14", "info"), ("2030-11-15", "warn")],
)
def test_the_last_day_of_a_release(well: Well, day: str, status: str) -> None:
    """Half a year before it is information."""
    taken = replace(well.view.snapshot, taken=f"{day}T12:00:00+00:00")
    (said,) = judge([View(well.view.client, taken)], [by_id()["topo.eol"]])
    assert said.status == status


@pytest.mark.parametrize(("minor", "said"), [(1, ["ok", "info"]), (4, ["ok"]), (9999, ["ok"])])
def test_a_minor_version_that_is_behind(well: Well, minor: int, said: list[str]) -> None:
    """It is information; one that is newer than all that are known is not behind."""
    caps = ({**well.view.row("caps"), "version_num": 180000 + minor},)
    snapshot = replace(well.view.snapshot, facts={**well.view.snapshot.facts, "caps": caps})
    found = judge([View(well.view.client, snapshot)], [by_id()["topo.eol"]])
    assert [one.status for one in found] == said


def test_a_release_that_nobody_knows(well: Well) -> None:
    """It is not called good."""
    caps = ({**well.view.row("caps"), "version_num": 990001},)
    snapshot = replace(well.view.snapshot, facts={**well.view.snapshot.facts, "caps": caps})
    (said,) = judge([View(well.view.client, snapshot)], [by_id()["topo.eol"]])
    assert said.status == "unknown"
