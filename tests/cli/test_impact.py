"""``pgstrata impact``."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import Cli
from tests.layers.project import SERVER, write
from tests.repository import commit, git

SIZE = "pool_settings: {max_size: 5}\n"


@pytest.fixture
def changed(project: Path) -> Path:
    """Commit two environments, and change what only one of them has from base.yaml."""
    commit(project, base=SERVER + SIZE, production="protected: true", qa=SIZE)
    return write(project, SERVER + SIZE.replace("5", "6"), production="protected: true", qa=SIZE)


@pytest.mark.usefixtures("changed")
def test_the_working_tree_is_compared_with_the_last_commit(cli: Cli) -> None:
    """Each environment says what its effective settings gain, lose or change."""
    done = cli("impact")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "production (protected): 1 changed",
        "  changed  pool_settings.max_size",
        "       5    HEAD:environments/base.yaml:2:27",
        "    -> 6    environments/base.yaml:2:27",
        "qa: nothing changes",
    ]


def test_exit_code(cli: Cli, changed: Path) -> None:
    """It is 1 only if asked for, and only if an environment is touched."""
    assert cli("impact", "--exit-code").code == 1
    git(changed, "commit", "--all", "--quiet", "--message=x")
    assert cli("impact", "--exit-code").code == 0
    assert cli("impact", "--exit-code", "--from", "HEAD~1").code == 1


def test_protected_only(cli: Cli, changed: Path) -> None:
    """Other environments do not count."""
    names = [
        e["name"]
        for e in cli("impact", "--protected-only", "--format", "json").json["environments"]
    ]
    assert names == ["production"]
    git(changed, "checkout", "--quiet", "--", "environments/base.yaml")
    (changed / "environments" / "qa.yaml").write_text("")
    (changed / "environments" / "qa.yaml").write_text("pool_settings: {max_size: 9}")
    assert cli("impact", "--exit-code").code == 1
    assert cli("impact", "--exit-code", "--protected-only").code == 0


def test_a_change_that_breaks_an_environment(cli: Cli, changed: Path) -> None:
    """The others are told about still; the exit code is 3 and the findings are on stderr."""
    (changed / "environments" / "qa.yaml").write_text("pool_settings: {max_size: x}")
    done = cli("impact")
    assert done.code == 3
    assert "qa: cannot be loaded any more" in done.out
    assert "production (protected): 1 changed" in done.out
    assert "environments/qa.yaml:1:27" in done.err


def test_a_revision_from_before_the_project(cli: Cli, project: Path) -> None:
    """Every environment is new then."""
    git(project, "init", "--quiet")
    git(project, "commit", "--quiet", "--allow-empty", "--message=x")
    write(project, SERVER)
    done = cli("impact")
    assert "production: new environment: " in done.out
    assert "every environment is new" in done.err


def test_wrong_usage(cli: Cli, project: Path) -> None:
    """No repository, and no such revision."""
    write(project, SERVER)
    assert cli("impact").code == 2
    commit(project, base=SERVER)
    done = cli("impact", "--from", "origin/main")
    assert done.code == 2
    assert "git fetch" in done.err


def test_no_environments(cli: Cli, project: Path) -> None:
    """That nothing changes is not the answer where nothing is read."""
    git(project, "init", "--quiet")
    write(project, SERVER)
    (project / "environments" / "production.yaml").rename(project / "environments" / "qa.yml")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message=x")
    done = cli("impact")
    assert (done.code, done.out) == (3, "")
    assert "environments/qa.yml is not read" in done.err


@pytest.mark.usefixtures("changed")
@pytest.mark.parametrize("form", ["text", "json", "markdown"])
def test_an_empty_revision_is_refused(cli: Cli, form: str) -> None:
    """In ``--from "$BASE"`` with an unset variable, it must not mean the files themselves."""
    done = cli("impact", "--from", "", "--format", form)
    assert (done.code, done.out) == (2, "")
    assert "'' is no revision of git" in done.err


@pytest.mark.usefixtures("changed")
def test_markdown(cli: Cli) -> None:
    """It is a comment for a pull request."""
    done = cli("impact", "--format", "markdown")
    assert "| `production` (protected) | 1 changed |" in done.out
