from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Cli

Write = Callable[..., None]


def test_environments_are_listed_with_what_makes_them(cli: Cli, write: Write) -> None:
    """Their parent, their nature, and their files, weakest first."""
    write(development="local: true", staging="", production="extends: staging\nprotected: true")
    done = cli("envs")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "ENVIRONMENT  EXTENDS  IS         FILES",
        "development  -        local      base.yaml + development.yaml",
        "production   staging  protected  base.yaml + staging.yaml + production.yaml",
        "staging      -        -          base.yaml + staging.yaml",
    ]


def test_json(cli: Cli, write: Write) -> None:
    """Files are a list; no parent is null."""
    write(broken="a: [", production="extends: staging")
    assert cli("envs", "--format", "json").json == {
        "environments": [
            {
                "name": "broken",
                "extends": None,
                "protected": False,
                "local": False,
                "files": ["base.yaml", "broken.yaml"],
            },
            {
                "name": "production",
                "extends": "staging",
                "protected": False,
                "local": False,
                "files": ["base.yaml", "production.yaml"],
            },
        ]
    }


def test_no_environments(cli: Cli, write: Write) -> None:
    """A table without rows would look like a failure."""
    write()
    done = cli("envs")
    assert (done.code, done.out) == (0, "")
    assert "there are no environments" in done.err


def test_files_that_are_not_read_are_told(cli: Cli, write: Write, project: Path) -> None:
    """They look like environments, and are none."""
    write(development="")
    (project / "environments" / "production.yml").write_text("")
    for form in ("text", "json"):
        done = cli("envs", "--format", form)
        assert (done.code, "production" in done.out) == (0, False)
        assert "environments/production.yml is not read" in done.err
        assert "hint: rename it to production.yaml" in done.err


def test_the_folder_may_be_named(
    cli: Cli, write: Write, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an option before the command, or by a variable; the option is stronger."""
    write(here="")
    monkeypatch.chdir("/")
    monkeypatch.setenv("PGSTRATA_PROJECT", str(project))
    assert "here" in cli("envs").out
    assert "here" in cli("-C", str(project), "envs").out
    assert cli("-C", str(project / "missing"), "envs").code == 3
    assert cli("-C", str(project / "environments" / "here.yaml"), "envs").code == 2
