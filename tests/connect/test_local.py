"""``local: true``: the embedded PostgreSQL as the target, started on first use."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.connect.conftest import TYPES, select, write

from pgstrata import PGConnectionManager, local
from pgstrata.local.account import is_root

ASK = """
import sys
from pgstrata import PGConnectionManager
with PGConnectionManager("test", project=sys.argv[1]).pool() as connection:
    print(*connection.execute("SELECT current_database(), system_identifier "
                              "FROM pg_control_system()").fetchone())
"""


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a project whose environment ``test`` is local, with a database that is not there."""
    with tempfile.TemporaryDirectory(prefix="pgstrata-connect-") as root:
        if is_root():  # the server runs under an account that must be able to pass
            Path(root).chmod(0o755)
        monkeypatch.setenv("PGSTRATA_LOCAL_DIR", f"{root}/state")
        folder = Path(root, "project", "environments")
        settings = {"dbname": "shop", "application_name": "ours", "autocommit": True}
        sizes = {"min_size": 1, "max_size": 2}
        sections = {"connection_settings": settings, "session_settings": {"app.x": "a b"}}
        write(folder / "base.yaml", {**sections, "pool_settings": sizes, "local": True})
        write(folder / "test.yaml", {"async_pool_settings": sizes})
        yield folder.parent
        local.stop(folder.parent)


async def test_all_types(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is started by the first block, beside the event loop; the database is made."""
    manager = PGConnectionManager("test", project=project)
    assert manager.config["local"] is True
    # A developer's own variables lead elsewhere.
    for name, value in {"PGPASSWORD": "wrong", "PGHOSTADDR": "127.0.0.9", "PGPORT": "1"}.items():
        monkeypatch.setenv(name, value)
    assert local.status(project) is None
    task = asyncio.create_task(select(manager.async_(), "SELECT current_database()"))
    turns = 0
    while not task.done():
        await asyncio.sleep(0.005)
        turns += 1
    assert await task == "shop"
    assert turns >= 10
    for kind in TYPES:
        handle = manager.get_database_connection(connection_type=kind)
        query = "SELECT current_setting('application_name') || current_setting('app.x')"
        assert await select(handle, query) == "oursa b"
    await manager.clear_cache_async()


def test_many_processes(project: Path) -> None:
    """Processes that come at once get one server and one database."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", ASK, str(project)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(8)
    ]
    answers = {process.communicate(timeout=60)[0] for process in running}
    assert len(answers) == 1
    assert answers.pop().startswith("shop ")
