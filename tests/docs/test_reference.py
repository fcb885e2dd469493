"""The generated pages are up to date and complete."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest

from pgstrata import pytest_plugin
from pgstrata.check.registry import EXPLANATIONS
from pgstrata.cli.group import commands
from pgstrata.schema.keys import CONNECTION, POOL, SECTIONS

ROOT = Path(__file__).parent.parent.parent
RULE_IN_CODE = re.compile(r"(?:Finding|_report|_unknown|report)\(\s*\"([a-z]+(?:-[a-z]+)*)\"")
# Modules whose ``__all__`` is for programs; that of a package's part is for pgstrata itself.
PUBLIC = (
    *("pgstrata", "pgstrata.tables", "pgstrata.local", "pgstrata.pgmonkey"),
    *("pgstrata.observe.prometheus", "pgstrata.observe.otel"),
)
RULE_YIELDED = re.compile(r"yield \"([a-z-]+)\", \"(?:error|warning|info)\"")


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_pages_are_what_the_code_says() -> None:
    """``make docs`` would change nothing."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"],
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": os.environ["PATH"]},
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.returncode) == ("", 0)


def test_every_rule_of_the_code_is_in_the_table() -> None:
    """No finding has a rule that the reference does not explain."""
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    used = {*RULE_IN_CODE.findall(code), *RULE_YIELDED.findall(code)}
    assert used <= set(EXPLANATIONS)


def page(name: str) -> str:
    """Return a page of the reference."""
    return (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")


def headings(name: str) -> set[str]:
    """Return what a page has a section about."""
    return set(re.findall(r"^#+ (.+)$", page(name), re.MULTILINE))


def every(command: click.Command, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield a command and all below it, each with the words that call it."""
    yield path.strip(), command
    if isinstance(command, click.Group):
        context = click.Context(command, **commands.context_settings)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from every(found, f"{path} {name}")


EVERY = dict(every(commands))


def prints_json(command: click.Command) -> bool:
    """Whether `--format json` or `--as json` is among a command's results; `render` writes
    settings.
    """
    choices = [each.type.choices for each in command.params if isinstance(each.type, click.Choice)]
    return command.name != "render" and any("json" in each for each in choices)


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_has_an_entry(module: str) -> None:
    """A class or function in its module's section about Python; an error on its own page, too."""
    home = import_module(module)
    names = {name for name in home.__all__ if callable(getattr(home, name))}
    section = page("python.md").partition(f"\n## {module}\n")[2].partition("\n## ")[0]
    assert names <= set(re.findall(r"^### (.+)$", section, re.MULTILINE))


def test_every_fixture_has_an_entry() -> None:
    """Of those that pytest finds in a project where pgstrata is installed."""
    found = {name for name in vars(pytest_plugin) if name.startswith("pgstrata_")}
    assert {"pgstrata_database", "pgstrata_schema"} <= found <= headings("python.md")


def test_every_error_has_an_entry() -> None:
    """Whatever ends in Error and is one of pgstrata's stands on the page of errors."""
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    classes = re.findall(r"^class (\w+Error)\(([^)]*)\)", code, re.MULTILINE)
    known = {"PgstrataError"}
    for _ in classes:  # as many rounds as the deepest family could have generations
        known |= {kind for kind, bases in classes if known & set(re.findall(r"\w+", bases))}
    assert known <= headings("errors.md")


@pytest.mark.parametrize("path", EVERY)
def test_every_command_and_option_has_an_entry(path: str) -> None:
    """Each option is named in the section of its command."""
    title = f"### pgstrata {path}\n" if path else "# Command line\n"
    section = page("commands.md").partition(title)[2].partition("\n### ")[0]
    assert section
    for parameter in EVERY[path].params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert all(option in section for option in parameter.opts)


def test_every_setting_has_an_entry() -> None:
    """Sections, keywords and options of the pool."""
    names = {*SECTIONS, *CONNECTION, *POOL}
    assert {name for name in names if f"| `{name}` |" not in page("settings.md")} == set()


@pytest.mark.parametrize("path", [path for path, command in EVERY.items() if prints_json(command)])
def test_every_json_has_an_entry(path: str) -> None:
    """A command that prints JSON has its shape on the page."""
    assert path in headings("json.md")
