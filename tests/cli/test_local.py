from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.cli.conftest import Cli

from pgstrata import local
from pgstrata.local.account import is_root


@pytest.fixture(autouse=True)
def _place(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep local servers in a directory of the test's own, which root's servers can enter."""
    root = Path(tempfile.mkdtemp(prefix="pgstrata-local-"))
    root.chmod(0o755 if is_root() else 0o700)
    monkeypatch.setenv("PGSTRATA_LOCAL_DIR", str(root))
    yield
    local.stop(project)
    shutil.rmtree(root)


def test_nothing_is_running(cli: Cli) -> None:
    """Status ends with 1 and says what starts it; to stop what does not run is no error."""
    done = cli("local", "status")
    assert (done.code, done.out) == (1, "")
    assert "hint: pgstrata local start" in done.err
    shape = cli("local", "status", "--format", "json")
    assert (shape.code, shape.json) == (1, {"running": False, "server": None})
    stop = cli("local", "stop")
    assert (stop.code, stop.out, stop.err) == (0, "", "pgstrata: no server was running\n")


def test_start_url_status_stop(cli: Cli, project: Path) -> None:
    """A server from its start to its end: the URL connects, and names no password."""
    started = cli("local", "start")
    assert (started.code, started.err) == (0, "")
    assert cli("local", "start").out == started.out  # the same server
    status = cli("local", "status", "--format", "json").json["server"]
    assert f"{status['host']}:{status['port']}, pid {status['pid']}" in started.out
    server = local.status(project)
    assert server is not None
    for name in ("postgres", "a b+c/d"):
        url = cli("local", "url", name).out.strip()
        assert server.password.reveal() not in url
        with psycopg.connect(url) as connection:
            assert connection.info.dbname == name
    assert cli("local", "stop").err == "pgstrata: stopped\n"
    assert cli("local", "status").code == 1


def test_a_new_project_connects_at_once(cli: Cli) -> None:
    """``init`` and ``test``, with nothing installed and nothing started before."""
    cli("init")
    done = cli("test", "-e", "development", "--format", "json")
    assert done.code == 0
    assert [trial["ok"] for trial in done.json["trials"]] == [True] * 4
    assert {trial["database"] for trial in done.json["trials"]} == {"app"}
