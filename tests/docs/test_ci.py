"""What the page about CI shows is valid, and every command of it runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from tests.docs.test_examples import BLOCK, ROOT
from tests.schemastore import stored_schema

PAGE = (ROOT / "docs" / "how-to" / "ci.md").read_text(encoding="utf-8")
PRE_COMMIT, WORKFLOW, GITLAB = (
    yaml.safe_load(match[2]) for match in BLOCK.finditer(PAGE) if match[1] == "yaml"
)
HOOKS = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
STEPS = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]
COMMANDS = [
    *(step["run"] for step in STEPS if "run" in step),
    *GITLAB["environments"]["script"],
    *(hook["entry"] for hook in HOOKS),
]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Return a checked-out project and the variables of a CI machine with pgstrata on its path."""
    folder = tmp_path_factory.mktemp("ci")
    shutil.copytree(ROOT / "environments", folder / "shop" / "environments")
    for command in (
        "git init --quiet",
        "git add .",
        "git -c user.name=x -c user.email=x@example.org commit --quiet --message x",
        "git update-ref refs/remotes/origin/main HEAD",
    ):
        subprocess.run(command.split(), cwd=folder / "shop", check=True)
    program = folder / "bin" / "pgstrata"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pgstrata "$@"\n')
    program.chmod(0o755)
    environ = {
        **os.environ,
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
    }
    return folder / "shop", environ


@pytest.mark.skipif(os.name != "posix", reason="the commands are written for a POSIX shell")
@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("pgstrata")])
def test_every_command_runs(command: str, machine: tuple[Path, dict[str, str]]) -> None:
    """It ends with 0 on the repository's own environments."""
    folder, environ = machine
    done = subprocess.run(
        ["sh", "-ec", command],
        cwd=folder,
        env=environ,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_all_other_commands_install_what_there_is() -> None:
    """The extra that they name is one of the package's."""
    others = {command for command in COMMANDS if not command.startswith("pgstrata")}
    comment = 'gh pr comment "$NUMBER" --body-file comment.md --edit-last --create-if-none'
    assert others == {'pip install "pgstrata[binary]"', comment}
    assert "\nbinary = [" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("/github-workflow.json", WORKFLOW),
        ("/editor/schema/ci.json", GITLAB),
        ("/pre-commit-config.json", PRE_COMMIT),
    ],
)
def test_files_are_valid(name: str, document: Any) -> None:
    """By the published JSON schema of each."""
    # The YAML 1.1 of this library reads the key `on` as true.
    named = {("on" if key is True else key): value for key, value in document.items()}
    jsonschema.validate(named, stored_schema(name))


def test_the_hook_of_the_page_is_one_of_the_repository() -> None:
    """The ids agree."""
    asked = {hook["id"] for repo in PRE_COMMIT["repos"] for hook in repo["hooks"]}
    assert asked <= {hook["id"] for hook in HOOKS}
