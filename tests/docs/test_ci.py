"""What the page about CI shows is valid, and every command of it runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from tests.docs.test_examples import BLOCK, ROOT
from tests.schemastore import stored_schema

PAGE = (ROOT / "docs" / "how-to" / "ci.md").read_text(encoding="utf-8")
PRE_COMMIT, SUBFOLDER, WORKFLOW, GITLAB = (
    yaml.safe_load(match[2]) for match in BLOCK.finditer(PAGE) if match[1] == "yaml"
)
HOOKS = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
STEPS = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]
COMMANDS = [
    *(step["run"] for step in STEPS if "run" in step),
    *(line for job in GITLAB.values() for line in job["script"]),
    *(hook["entry"] for hook in HOOKS),
]
# What a CI machine has beside pgstrata: pip, which has nothing to do here, and what posts comments.
PROGRAMS = {
    "pgstrata": f'exec "{sys.executable}" -m pgstrata "$@"',
    "pip": "exit 0",
    "gh": 'cp "$5" posted.md',
    "curl": 'for last; do :; done; cp note.md posted.md; echo "$last" > posted.txt',
}
BROKEN = "| `test` | cannot be loaded any more |"
GIT = "git -c user.name=x -c user.email=x@example.org"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="commands for a POSIX shell")


@dataclass(frozen=True)
class Machine:
    """A CI machine with a checked-out project."""

    folder: Path
    environ: dict[str, str]

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a script as GitHub and GitLab do: its first failure ends it."""
        return subprocess.run(
            ["sh", "-ec", script],
            cwd=self.folder,
            env=self.environ,
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def workflow(self) -> dict[str, str]:
        """Run the steps of GitHub's job; after a failure only those that are not skipped then.

        Return what each that ran has printed, by its name or action.
        """
        printed = {}
        failed = False
        for step in STEPS:
            if failed and "!cancelled()" not in step.get("if", ""):
                continue
            done = self.run(step.get("run", "exit 0"))
            failed = failed or done.returncode != 0
            printed[step.get("name") or step.get("uses") or step["run"]] = done.stdout
        return {**printed, "failed": str(failed)}


def machine_in(folder: Path) -> Machine:
    """Return a machine whose project is the repository's own environments."""
    project = folder / "shop"
    shutil.copytree(ROOT / "environments", project / "environments")
    (folder / "bin").mkdir()
    for name, text in PROGRAMS.items():
        (folder / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / "bin" / name).chmod(0o755)
    machine = Machine(
        project,
        {
            **os.environ,
            "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT / "src"),
            "GITHUB_STEP_SUMMARY": str(project / "summary.md"),
            "CI_API_V4_URL": "https://gitlab.example.com/api/v4",
            "CI_PROJECT_ID": "12",
            "CI_MERGE_REQUEST_IID": "7",
            "CI_MERGE_REQUEST_DIFF_BASE_SHA": "origin/main",
        },
    )
    made = machine.run(
        f"git init --quiet; git add .; {GIT} commit --quiet --message x; "
        "git update-ref refs/remotes/origin/main HEAD"
    )
    assert made.returncode == 0, made.stderr
    return machine


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """Return a machine on which all is well."""
    return machine_in(tmp_path_factory.mktemp("ci"))


@pytest.fixture
def broken(tmp_path: Path) -> Machine:
    """Return a machine that is to look at a change which breaks an environment."""
    machine = machine_in(tmp_path)
    with (machine.folder / "environments" / "test.yaml").open("a") as file:
        file.write("conection_settings: {}\n")
    machine.run(f"{GIT} commit --quiet --all --message broken")
    return machine


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("pgstrata")])
def test_every_command_runs(command: str, machine: Machine) -> None:
    """It ends with 0 on the repository's own environments."""
    done = machine.run(command)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_change_that_breaks_an_environment_is_told_everywhere_on_github(broken: Machine) -> None:
    """No step is skipped because one before it has failed, and the job fails."""
    printed = broken.workflow()
    assert len(printed) == len(STEPS) + 1
    assert printed["failed"] == "True"
    assert "::error file=environments/test.yaml" in printed["Annotations, and the result"]
    sarif = json.loads((broken.folder / "pgstrata.sarif").read_text())
    results = sarif["runs"][0]["results"]
    assert "unknown-section" in {result["ruleId"] for result in results}
    assert "conection" in (broken.folder / "summary.md").read_text()
    assert BROKEN in (broken.folder / "posted.md").read_text()


def test_a_change_that_breaks_an_environment_is_told_everywhere_on_gitlab(broken: Machine) -> None:
    """Both reports are written, the job fails, and the note is posted."""
    check, impact = (broken.run("\n".join(GITLAB[job]["script"])) for job in GITLAB)
    assert (check.returncode, impact.returncode) == (3, 0)
    for name in ("pgstrata.html", "pgstrata.xml"):
        assert "conection" in (broken.folder / name).read_text()
    assert BROKEN in (broken.folder / "posted.md").read_text()
    assert GITLAB["environments"]["artifacts"]["when"] == "always"
    url = "https://gitlab.example.com/api/v4/projects/12/merge_requests/7/notes\n"
    assert (broken.folder / "posted.txt").read_text() == url


def test_a_hook_reaches_a_project_in_a_subfolder(machine: Machine) -> None:
    """By the command of the page, wherever in the repository the project is."""
    (hook,) = SUBFOLDER
    assert hook["id"] in {known["id"] for known in HOOKS}
    done = machine.run(hook["entry"].replace("services/shop", "shop").join(("cd ..\n", "")))
    assert done.returncode == 0, done.stderr
    (matching,) = (known["files"] for known in HOOKS if known["id"] == hook["id"])
    assert re.search(matching, "services/shop/environments/production.yaml")


def test_all_other_commands_install_what_there_is() -> None:
    """The extra that they name is one of the package's."""
    others = {command.split()[0] for command in COMMANDS} - {"pgstrata"}
    assert others == {"pip", "gh", "curl"}
    installs = {command for command in COMMANDS if command.startswith("pip")}
    assert installs == {'pip install "pgstrata[binary]"'}
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
