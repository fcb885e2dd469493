"""The how-to for secrets, from its first command to its last, by the people it tells of."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.servers import Server

from pgstrata.secrets.sealed import keytext

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "secrets.md"
BLOCK = re.compile(r"<!-- run as (\w+) -->\n```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ROLE, FIRST = "shop_howto", "the-first-password"

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="the page is written for a Unix shell"),
    pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed"),
]


@pytest.fixture
def shop(tmp_path: Path, server: Server) -> Iterator[Path]:
    """Return a project in a repository, with a server, and a safe beside it."""
    server.sql(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{FIRST}'")
    folder = tmp_path / "shop"
    (folder / "environments").mkdir(parents=True)
    (folder / "environments" / "base.yaml").write_text(
        f"connection_settings: {{host: {server.host}, port: {server.port}, user: {ROLE}, "
        "dbname: postgres, connect_timeout: 5}\n"
    )
    (folder / "environments" / "production.yaml").write_text("protected: true\n")
    (tmp_path / "safe").mkdir()
    programs = tmp_path / "bin"
    programs.mkdir()
    program(programs / "pgstrata", f'exec "{sys.executable}" -m pgstrata "$@"')
    program(programs / "generate-a-password", f"echo {FIRST}")
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    yield folder
    server.sql(f"DROP ROLE {ROLE}")


def program(path: Path, line: str) -> None:
    """Write a program of one line."""
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def run(folder: Path, who: str, script: str) -> subprocess.CompletedProcess[str]:
    """Run a block as somebody with a home of their own."""
    above = folder.parent
    (above / who).mkdir(exist_ok=True)
    environ = {
        "PATH": f"{above / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        "HOME": str(above / who),
        **dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"), who),
        **dict.fromkeys(("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"), f"{who}@example.org"),
    }
    return subprocess.run(
        ["sh", "-e", "-c", script],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_page_from_the_first_command_to_the_last(shop: Path) -> None:
    """Each block works, for the one who runs it, and none shows a password or a private key."""
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert len(blocks) > 10
    for who, script in blocks:
        done = run(shop, who, script)
        assert done.returncode == 0, f"{who}: {script}\n{done.stdout}{done.stderr}"
        assert FIRST not in done.stdout + done.stderr
        assert keytext.PRIVATE.search(done.stdout + done.stderr) is None
    gone = run(shop, "bob", "pgstrata test -e production --type normal")
    assert gone.returncode != 0
    assert "no recipient" in gone.stderr
