"""What the README and the documentation show is run, and does what they say."""

from __future__ import annotations

import doctest
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Their own tests prepare what these pages work on.
ELSEWHERE = [
    ROOT / "docs" / "how-to" / name for name in ("broken-server-tour.md", "from-pgmonkey.md")
]
# A tutorial begins with nothing: test_tutorial follows it in a folder of its own.
SHOWN_HERE = [page for page in PAGES if page not in ELSEWHERE and page.parent.name != "tutorial"]
EXIT_CODE = re.compile(r" # exit code (\d+)$")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[ParameterSet]:
    """Return the code blocks of all pages in one language, each named after its place."""
    found = []
    for page in SHOWN_HERE:
        text = page.read_text(encoding="utf-8")
        for match in BLOCK.finditer(text):
            if match[1] == language:
                line = text.count("\n", 0, match.start()) + 1
                name = f"{page.relative_to(ROOT)}:{line}"
                found.append(pytest.param(match[2], id=name))
    return found


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a copy of the repository's own environments, with an embedded server of its own."""
    from pgstrata import local

    folder = tmp_path_factory.mktemp("shop")
    shutil.copytree(ROOT / "environments", folder / "environments")
    yield folder
    local.stop(folder)


def run(command: list[str], project: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in the project."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(
        command, cwd=project, env=environ, check=False, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("block", blocks("console"))
def test_commands_print_what_the_page_shows(block: str, project: Path) -> None:
    """Each command of a console block gives the output below it, where ``...`` stands for anything,
    and ends with the exit code that a comment behind it names, or else with 0.
    """
    for example in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        line, _, expected = example.partition("\n")
        program, *arguments = shlex.split(line, comments=True)
        assert program == "pgstrata", "any other program's block is sh"
        done = run([sys.executable, "-m", "pgstrata", *arguments], project)
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        matches = doctest.OutputChecker().check_output(expected, done.stdout, flags)
        assert matches, f"{line}\n{done.stdout}{done.stderr}"
        said = EXIT_CODE.search(line)
        assert done.returncode == int(said[1] if said else 0), f"{line}\n{done.stderr}"


@pytest.mark.parametrize("block", blocks("python"))
def test_python_runs(block: str, project: Path) -> None:
    """Each Python block runs by itself."""
    done = run([sys.executable, "-W", "error", "-c", block], project)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file that exists."""
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    assert [target for target in targets if not (page.parent / target).exists()] == []
