"""The how-to for those who come from pgmonkey, from its first block to its last."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.servers import PASSWORD, Server

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "from-pgmonkey.md"
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(os.name != "posix", reason="the page is written for a Unix shell")
def test_the_page_from_the_first_block_to_the_last(
    tmp_path: Path, server: Server, database: str
) -> None:
    """Each block works, and none shows a password."""
    for name, sizes in (("staging", 4), ("production", 20)):
        sections = {
            "connection_type": "normal",
            "connection_settings": server.keywords(dbname=database),
            "pool_settings": {"min_size": 1, "max_size": sizes},
            "async_settings": {"statement_timeout": "30000"},
        }
        (tmp_path / f"{name}.yaml").write_text(json.dumps(sections))
    (tmp_path / "people.csv").write_text("id,name\n1,Ann\n")
    program = tmp_path / "bin" / "pgstrata"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pgstrata "$@"\n')
    program.chmod(0o755)
    environ = {
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "HOME": str(tmp_path / "home"),
    }
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert len(blocks) == 4
    for language, text in blocks:
        start = ["sh", "-e", "-c"] if language == "sh" else [sys.executable, "-c"]
        done = subprocess.run(
            [*start, text],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        assert PASSWORD not in done.stdout + done.stderr
    assert (tmp_path / "people-again.csv").read_text() == "id,name\n1,Ann\n"
    assert PASSWORD not in (tmp_path / "environments" / "base.yaml").read_text()
