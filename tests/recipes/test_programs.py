"""The recipes that are run from a command line, on a real server."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.recipes.ledger import EXAMPLES, PATIENCE, running, variables
from tests.servers import Server


def needs(*modules: str) -> pytest.MarkDecorator:
    """Skip where the extra ``recipes`` is not installed."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def run(environ: dict[str, str], folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environ,
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


@pytest.mark.slow
@needs("sqlalchemy")
def test_sqlalchemy(server: Server, database: str) -> None:
    """What the engine commits, the asynchronous one sees."""
    environ = variables(server, database)
    done = run(environ, EXAMPLES / "sqlalchemy", "-W", "error", "engine.py")
    assert (done.stdout, done.stderr) == ("total: 5\n", "")


@pytest.mark.slow
@needs("alembic")
def test_alembic(server: Server, database: str) -> None:
    """Migrations go up and down again, and as SQL nothing connects."""
    environ = variables(server, database)
    folder, alembic = EXAMPLES / "alembic", ("-m", "alembic", "-c", "alembic.ini")
    ledger = "SELECT to_regclass('ledger') IS NOT NULL"
    done = run(environ, folder, *alembic, "upgrade", "head")
    assert done.returncode == 0, done.stderr
    assert server.sql(ledger, dbname=database) == [(True,)]
    done = run(environ, folder, *alembic, "downgrade", "base")
    assert done.returncode == 0, done.stderr
    assert server.sql(ledger, dbname=database) == [(False,)]
    nowhere = {**environ, "PGSTRATA_CONNECTION_SETTINGS__PORT": "1"}
    assert (
        "CREATE TABLE ledger" in run(nowhere, folder, *alembic, "upgrade", "head", "--sql").stdout
    )


@pytest.mark.parametrize("broken", [False, True])
def test_click(server: Server, database: str, *, broken: bool) -> None:
    """Entries are added all or none; without a server it ends with words, not with a traceback."""
    environ = variables(server, database)
    server.sql((EXAMPLES / "schema.sql").read_text(), dbname=database)
    if broken:
        environ["PGSTRATA_CONNECTION_SETTINGS__DBNAME"] = "nowhere"
    done = run(environ, EXAMPLES / "click", "ledger.py", "-e", "test", "add", "2", "3")
    assert "Traceback" not in done.stderr
    assert done.returncode == broken
    assert ('"nowhere" does not exist' in done.stderr) == broken
    if not broken:
        assert run(environ, EXAMPLES / "click", "ledger.py", "total").stdout == "5\n"


def test_pytest(server: Server, database: str) -> None:
    """The tests of the recipe pass, each with what is its own."""
    environ = {**variables(server, database), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    plugin = ("-p", "pgstrata.pytest_plugin", "-p", "no:cacheprovider")
    done = run(environ, EXAMPLES / "pytest", "-m", "pytest", "-q", "-W", "error", *plugin)
    assert "4 passed" in done.stdout, done.stdout + done.stderr


# A broker of files: what the recipe reads from a variable could be any that Celery knows.
CELERY = """\
from tasks import add_task, app
folders = ("data_folder_in", "data_folder_out")
app.conf.broker_transport_options = dict.fromkeys(folders, "queue")
"""
WORKER = (
    *("celery", "-A", "ours", "worker", "--pool=prefork", "--concurrency=2"),
    *("--without-gossip", "--without-mingle"),
)
SEND = """\
import uuid
from ours import add_task
for number in range({count}):
    add_task.delay(str(uuid.UUID(int=number)), 1)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="Celery's prefork needs fork")
@pytest.mark.timeout(900)
@needs("celery")
def test_celery(own_server: Server, ledger: str, tmp_path: Path) -> None:
    """Forked workers do every task, though the server is restarted meanwhile."""
    count, log = 200, tmp_path / "log"
    (tmp_path / "queue").mkdir()
    (tmp_path / "ours.py").write_text(CELERY)
    environ = variables(own_server, ledger, CELERY_BROKER_URL="filesystem://")
    environ["PYTHONPATH"] += os.pathsep + str(EXAMPLES / "celery")
    with running(WORKER, tmp_path, environ, log):
        done = run(environ, tmp_path, "-c", SEND.format(count=count))
        assert done.returncode == 0, done.stderr
        wait_for(own_server, ledger, 10, log)
        own_server.restart()
        wait_for(own_server, ledger, count, log)


def wait_for(server: Server, database: str, rows: int, log: Path) -> None:
    """Wait until the ledger has so many rows."""
    until = time.monotonic() + PATIENCE
    while server.sql("SELECT count(*) FROM ledger", dbname=database)[0][0] < rows:
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.1)
