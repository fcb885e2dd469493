"""Every shell block of every page names what there is, and those that say so run here."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from tests.docs.test_examples import PAGES, ROOT, SHOWN_HERE, project

from pgstrata.cli.group import commands

BLOCK = re.compile(r"(?:^<!-- ([^\n]*?) -->\n)?^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# A program begins a line, or what follows a pipe, an operator, or the start of a substitution.
PROGRAM = re.compile(r"(?:^|[|;(]|&&)\s*(pgstrata|make) ([^|;)\n]*)", re.MULTILINE)
SUBSTITUTED = re.compile(r"\$\((?!pgstrata)[^)]*\)")
TARGET = re.compile(r"^([a-z-]+):", re.MULTILINE)

MARK = re.compile(r"runs$|run \w+|not run: \w+")
EMPTY = "run in an empty folder"

BLOCKS = [
    pytest.param(mark, text, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, (mark, text) in enumerate(BLOCK.findall(page.read_text(encoding="utf-8")))
]
RUNS = [each for each in BLOCKS if each.values[0] == "runs"]
IN_AN_EMPTY_FOLDER = [each for each in BLOCKS if each.values[0] == EMPTY]

__all__ = ["project"]  # the fixture


@pytest.mark.parametrize(("mark", "text"), BLOCKS)
def test_a_block_names_what_there_is(mark: str, text: str) -> None:
    """Each command, option and target exists."""
    assert not mark or MARK.match(mark)
    for program, line in PROGRAM.findall(SUBSTITUTED.sub("it", text)):
        arguments = shlex.split(line, comments=True)
        if program == "make":
            assert set(arguments[:1]) <= set(TARGET.findall((ROOT / "Makefile").read_text()))
        else:
            parse(commands, arguments)


@pytest.mark.parametrize("page", SHOWN_HERE, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_runs_or_says_why_not(page: Path) -> None:
    """Its mark is for this module, or for the test of its page alone, or it is a reason."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    assert [text for mark, text in found if not MARK.match(mark)] == []


def parse(command: click.Command, arguments: list[str]) -> None:
    """Read the arguments of a command line. Raises click's error for what there is not."""
    context = click.Context(command, **commands.context_settings)
    if isinstance(command, click.Group):
        _, rest, _ = command.make_parser(context).parse_args(arguments)
        _, inner, rest = command.resolve_command(context, rest)
        assert inner is not None, arguments
        parse(inner, rest)
    elif "--" not in arguments:  # what follows belongs to another program
        command.make_parser(context).parse_args(arguments)


@pytest.mark.skipif(os.name != "posix", reason="the blocks are written for a POSIX shell")
@pytest.mark.parametrize(("mark", "text"), RUNS)
def test_a_block_that_says_so_runs(mark: str, text: str, project: Path) -> None:
    """In a copy of the repository's own environments, without an error."""
    succeeds(text, project, project)


@pytest.mark.skipif(os.name != "posix", reason="the blocks are written for a POSIX shell")
@pytest.mark.parametrize(("mark", "text"), IN_AN_EMPTY_FOLDER)
def test_a_block_that_begins_with_nothing_runs(mark: str, text: str, tmp_path: Path) -> None:
    """In an empty folder, where pgstrata is installed already."""
    from pgstrata import local

    folder = tmp_path / "shop"
    folder.mkdir()
    succeeds(text, folder, tmp_path)
    local.stop(folder)


def succeeds(text: str, folder: Path, programs: Path) -> None:
    """Run a block with pgstrata, and a pip that has nothing to do, on its path."""
    path = programs / "bin"
    path.mkdir(exist_ok=True)
    for name, line in {"pgstrata": f'exec "{sys.executable}" -m pgstrata "$@"', "pip": ":"}.items():
        (path / name).write_text(f"#!/bin/sh\n{line}\n")
        (path / name).chmod(0o755)
    environ = {"PATH": f"{path}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        ["sh", "-e", "-c", text],
        cwd=folder,
        env={**os.environ, **environ},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, f"{text}\n{done.stderr}"
