from __future__ import annotations

from pathlib import Path

import pytest
from tests.audit.program import Case, Well, of, reload, settings, shown
from tests.servers import Server, embedded_bindir

CASES = (
    Case(
        "conf.pending_restart",
        "warn",
        "the files give max_connections another value than 60",
        sql=("ALTER SYSTEM SET max_connections = 70",),
        undone=("ALTER SYSTEM RESET max_connections",),
    ),
    Case(
        "conf.durability",
        "fail",
        "fsync is off: a crash may cost the cluster",
        client={"protected": True},
        sql=("ALTER SYSTEM SET fsync = off",),
    ),
    Case(
        "conf.durability",
        "warn",
        "full_page_writes is off",
        sql=("ALTER SYSTEM SET full_page_writes = off",),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_fires_until_mended(case: Case, well: Well, tmp_path: Path) -> None:
    """Each state of the files is found, and found no more when they are as the finding says."""
    shown(case, well, tmp_path)


@pytest.mark.parametrize("line", ["work_mem = banana", "no_such_thing = 1", "work_mem 'open"])
def test_a_line_that_stops_the_next_start(well: Well, tmp_path: Path, line: str) -> None:
    """It is named with file and line, also where the server calls it "could not be applied"."""
    conf = well.server.data / "postgresql.conf"
    text = conf.read_text()
    well.server.append_conf(line)
    (said,) = of(tmp_path, settings(well.server), "conf.file_errors")
    conf.write_text(text)
    assert said.status == "fail"
    assert f"{conf}:{len(text.splitlines()) + 1}" in said.outcome.message
    (said,) = of(tmp_path, settings(well.server), "conf.file_errors")
    assert said.status == "ok"


def test_what_waits_for_a_restart_is_no_error(well: Well, tmp_path: Path) -> None:
    """The server has one text for both."""
    well.server.sql("ALTER SYSTEM SET max_connections = 70")
    reload(well.server)
    (said,) = of(tmp_path, settings(well.server), "conf.file_errors")
    well.server.sql("ALTER SYSTEM RESET ALL")
    reload(well.server)
    assert said.status == "ok"


def test_alter_system_is_switched_off(well: Well, tmp_path: Path) -> None:
    """No fix then says ALTER SYSTEM."""
    conf = well.server.data / "postgresql.conf"
    text = conf.read_text()
    well.server.append_conf("allow_alter_system = off\nwork_mem = 5MB\nfsync = off")
    reload(well.server)
    (said,) = of(tmp_path, settings(well.server), "conf.source")
    fsync, _ = of(tmp_path, settings(well.server), "conf.durability")
    conf.write_text(text)
    reload(well.server)
    assert (said.status, said.outcome.message) == ("info", "ALTER SYSTEM is switched off here")
    assert fsync.outcome.fix[0].statement.startswith(f"fsync = on  -- in {conf}:")
    (said,) = of(tmp_path, settings(well.server), "conf.source")
    assert said.status == "ok"


@pytest.mark.slow
def test_what_the_command_line_says(tmp_path: Path) -> None:
    """ALTER SYSTEM has no effect on it, so no fix says so."""
    with Server.running(embedded_bindir(18), conf="fsync = on") as server:
        server.stop()
        server._pg_ctl("start", "-l", str(server.log), "-o", "-c fsync=off")
        files = settings(server, user="postgres", dbname="postgres")
        (said,) = of(tmp_path, files, "conf.source")
        assert (said.status, said.outcome.observed) == ("info", "fsync = off")
        fsync, _ = of(tmp_path, files, "conf.durability")
        assert "ALTER SYSTEM has no effect" in fsync.outcome.fix[0].statement
