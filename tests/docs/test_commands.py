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
from tests.docs.test_examples import PAGES, ROOT, project

from pgstrata.cli.group import commands

BLOCK = re.compile(r"(?:^<!-- ([^\n]*?) -->\n)?^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# A program begins a line, or what follows a pipe, an operator, or the start of a substitution.
PROGRAM = re.compile(r"(?:^|[|;(]|&&)\s*(pgstrata|make) ([^|;)\n]*)", re.MULTILINE)
SUBSTITUTED = re.compile(r"\$\((?!pgstrata)[^)]*\)")
TARGET = re.compile(r"^([a-z-]+):", re.MULTILINE)

BLOCKS = [
    pytest.param(mark, text, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, (mark, text) in enumerate(BLOCK.findall(page.read_text(encoding="utf-8")))
]
RUNS = [each for each in BLOCKS if each.values[0] == "runs"]

__all__ = ["project"]  # the fixture


@pytest.mark.parametrize(("mark", "text"), BLOCKS)
def test_a_block_names_what_there_is(mark: str, text: str) -> None:
    """Each command, option and target exists. A mark is for this test, or one of the page
    alone, or a reason.
    """
    assert not mark or re.match(r"runs$|run |not run: \w+", mark)
    for program, line in PROGRAM.findall(SUBSTITUTED.sub("it", text)):
        arguments = shlex.split(line, comments=True)
        if program == "make":
            assert set(arguments[:1]) <= set(TARGET.findall((ROOT / "Makefile").read_text()))
        else:
            parse(commands, arguments)


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
    program = project / "bin" / "pgstrata"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pgstrata "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-e", "-c", text],
        cwd=project,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT / "src")},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, f"{text}\n{done.stderr}"
