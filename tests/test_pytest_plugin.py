"""The fixtures, in projects of their own that pytest runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.servers import Server

BASE = """\
connection_settings:
  {{host: {host}, port: {port}, user: {user}, password: {password}, dbname: {dbname}}}
connections:
  reports: {{connection_settings: {{dbname: elsewhere}}}}
"""
CONFTEST = """\
import pytest

@pytest.fixture(scope="session")
def pgstrata_prepare():
    return lambda connection: connection.execute("CREATE TABLE entry (id int PRIMARY KEY)")
"""
TESTS = """\
import pytest
from pgstrata import PGConnectionManager

WHERE = "SELECT current_database(), current_schema()"

@pytest.fixture(params=["pgstrata_database", "pgstrata_schema"])
def manager(request):
    return request.getfixturevalue(request.param)

@pytest.mark.parametrize("number", range(4))
def test_alone(manager, number):
    with manager.pool() as connection:
        connection.execute("INSERT INTO entry VALUES (1)")  # would fail if it were shared

def test_all_lead_there(manager):
    with manager.normal() as one, manager.normal("reports") as two:
        with PGConnectionManager().normal() as three:
            found = {c.execute(WHERE).fetchone() for c in (one, two, three)}
    assert len(found) == 1

async def test_async(manager):
    async with manager.async_pool() as connection:
        await connection.execute("INSERT INTO entry VALUES (1)")
"""


def project(folder: Path, server: Server, database: str, overlay: str = "") -> Path:
    """Write a project, with an environment ``test``, and tests that use the fixtures."""
    (folder / "environments").mkdir()
    text = BASE.format_map(server.keywords(dbname=database))
    (folder / "environments" / "base.yaml").write_text(text)
    (folder / "environments" / "test.yaml").write_text(overlay)
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(TESTS)
    return folder


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in the project, with no other plugins than are named."""
    plugins = ("-p", "pgstrata.pytest_plugin", "-p", "pytest_asyncio.plugin")
    command = (sys.executable, "-m", "pytest", "-q", "-W", "error")
    asyncio = ("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function")
    source = str(Path(__file__).parents[1] / "src")
    environ = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": source}
    return subprocess.run(
        [*command, *plugins, *asyncio, *options],
        cwd=folder,
        env=environ,
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )


XDIST = ("-p", "xdist.plugin", "-n", "2")


@pytest.mark.parametrize(
    "options",
    [pytest.param((), id="one"), pytest.param(XDIST, id="xdist", marks=pytest.mark.slow)],
)
def test_each_test_is_alone(
    server: Server, database: str, tmp_path: Path, options: tuple[str, ...]
) -> None:
    """In one process and in two; no database is left behind."""
    done = run(project(tmp_path, server, database), *options)
    assert "12 passed" in done.stdout, done.stdout + done.stderr
    left = server.sql("SELECT datname FROM pg_database WHERE datname ~ '^test_[0-9a-f]{32}$'")
    assert left == []


def test_a_protected_environment_is_refused(server: Server, database: str, tmp_path: Path) -> None:
    """Before anything is sent to its server."""
    done = run(project(tmp_path, server, database, "protected: true\n"), "-x")
    assert done.returncode == 1
    assert "the environment 'test' is protected" in done.stdout


def test_another_environment_can_be_chosen(server: Server, database: str, tmp_path: Path) -> None:
    """By the ini file, and by the command line, which is stronger."""
    folder = project(tmp_path, server, database)
    (folder / "pytest.ini").write_text("[pytest]\npgstrata_env = ours\n")
    one = "test_it.py::test_all_lead_there"
    assert "no environment 'ours'" in run(folder, one).stdout
    assert "2 passed" in run(folder, one, "--pgstrata-env", "test").stdout


def test_it_costs_nothing_unused() -> None:
    """Importing it imports pytest, and nothing of pgstrata's own."""
    program = (
        "import sys, pytest; before = set(sys.modules); import pgstrata.pytest_plugin;"
        "print(*sorted(set(sys.modules) - before))"
    )
    source = str(Path(__file__).parents[1] / "src")
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": source},
        check=True,
        capture_output=True,
        text=True,
    )
    expected = ["pgstrata", "pgstrata._version", "pgstrata.pytest_plugin"]
    assert [name for name in done.stdout.split() if name.startswith("pgstrata")] == expected
    assert not {"psycopg", "dynaconf", "yaml", "click"} & set(done.stdout.split())
