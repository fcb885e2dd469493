"""The tutorial, followed by somebody who does just what it says, in an empty folder."""

from __future__ import annotations

import doctest
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorial" / "first-fifteen-minutes.md"
STEP = re.compile(
    r"^<!-- (?P<undo>undo \S+) -->$|"
    r"(?:^<!-- (?P<mark>[^>]+) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Return an empty folder; the server that is started for it is stopped."""
    from pgstrata import local

    yield tmp_path
    local.stop(tmp_path)


def test_the_page_from_the_first_command_to_the_last(folder: Path) -> None:
    """Every command prints what is shown, every program runs, every file is written as said."""
    kept: dict[str, str] = {}
    languages = set()
    for step in STEP.finditer(PAGE.read_text(encoding="utf-8")):
        languages.add(step["language"])
        mark, _, about = (step["undo"] or step["mark"] or "").partition(" ")
        if mark == "undo":
            (folder / about).write_text(kept[about], encoding="utf-8")
        elif mark in {"append", "file"}:
            path = folder / about
            kept[about] = path.read_text(encoding="utf-8") if path.exists() else ""
            path.write_text(kept[about] + step["text"], encoding="utf-8")
        elif step["language"] == "console":
            typed(step["text"], folder, exits=int(about) if mark == "exits" else 0)
        elif step["language"] == "python":
            done = started([sys.executable, "-W", "error", "-c", step["text"]], folder)
            assert (done.returncode, done.stderr) == (0, "")
        elif step["language"] == "yaml":
            everything = "".join(path.read_text() for path in folder.rglob("*.yaml"))
            assert step["text"] in everything
        else:
            assert mark == "not", f"{step['text']} is not run, and no reason given"
    assert languages >= {"console", "python", "yaml"}


def typed(block: str, folder: Path, *, exits: int) -> None:
    """Run the commands of a block, and compare what they print; ``...`` stands for anything."""
    for example in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        line, _, expected = example.partition("\n")
        program, *arguments = shlex.split(line)
        assert program == "pgstrata"
        done = started([sys.executable, "-m", "pgstrata", *arguments], folder)
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        same = doctest.OutputChecker().check_output(expected.rstrip(), done.stdout.rstrip(), flags)
        assert same, f"{line}\n{done.stdout}{done.stderr}"
        assert done.returncode == exits, f"{line}\n{done.stderr}"


def started(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program in the folder, without any variable that would take part."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    environ["PYTHONPATH"] = str(ROOT / "src")
    return subprocess.run(
        command, cwd=folder, env=environ, check=False, capture_output=True, text=True, timeout=120
    )
