from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from tests.cli.conftest import Cli

from pgstrata.loading import load_file

FILES = ("base.yaml", "development.yaml", "production.yaml", "schema.json", "staging.yaml")


def _contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_new_project_passes_its_own_check(cli: Cli, project: Path) -> None:
    """The files that it wrote are the result; what to do next is talk."""
    done = cli("init")
    assert done.code == 0
    written = {*(f"environments{os.sep}{name}" for name in FILES), ".gitignore", ".gitattributes"}
    assert set(done.out.splitlines()) == written == set(_contents(project))
    assert "next: pgstrata check --all" in done.err
    assert cli("check", "--all", "--skip-files").code == 0


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_only_the_owner_may_read_the_files(cli: Cli, project: Path) -> None:
    """Somebody will write a password into one of them."""
    cli("init")
    cli("init", "--single", "one.yaml")
    for path in (*(project / "environments").iterdir(), project / "one.yaml"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_is_overwritten(cli: Cli, project: Path) -> None:
    """One file that is there keeps all others from being written, .gitignore too."""
    (project / "environments").mkdir()
    (project / "environments" / "staging.yaml").write_text("mine")
    before = _contents(project)
    done = cli("init")
    assert (done.code, done.out) == (2, "")
    assert f"already there: environments{os.sep}staging.yaml" in done.err
    assert "--force" in done.err
    assert _contents(project) == before


def test_force_overwrites_only_its_own_files(cli: Cli, project: Path) -> None:
    """What somebody added to the project stays."""
    cli("init")
    mine = project / "environments" / "mine.yaml"
    mine.write_text("local: true\n")
    (project / "environments" / "base.yaml").write_text("broken: [")
    assert cli("init", "--force").code == 0
    assert mine.read_text() == "local: true\n"
    assert cli("check", "--all", "--skip-files").code == 0


@pytest.mark.parametrize("before", [b"", b"build/", b"build/\r\n\xff\n", b".env\n"])
def test_gitignore_is_added_to_once(cli: Cli, project: Path, before: bytes) -> None:
    """What is in it stays byte for byte, and each line is there once."""
    path = project / ".gitignore"
    path.write_bytes(before)
    cli("init")
    cli("init", "--force")
    after = path.read_bytes()
    assert after.startswith(before)
    lines = after.splitlines()
    assert lines.count(b".env") == lines.count(b"environments/*.local.yaml") == 1


def test_an_interrupted_init_leaves_no_half_file(cli: Cli, project: Path) -> None:
    """A file that cannot get its name leaves nothing of itself behind."""
    (project / "environments" / "development.yaml" / "in the way").mkdir(parents=True)
    done = cli("init", "--force")
    assert done.code == 1
    assert "development.yaml: Is a directory" in done.err.replace(os.sep, "/")
    assert set(_contents(project)) == {f"environments{os.sep}base.yaml"}


def test_a_folder_that_is_not_there_is_made(cli: Cli, project: Path) -> None:
    """A project may be started from outside."""
    assert cli("-C", "new/project", "init").code == 0
    assert cli("-C", "new/project", "check", "--all", "--skip-files").code == 0


def test_a_single_file_is_a_whole_configuration(cli: Cli, project: Path) -> None:
    """It loads as it is, and nothing else is written."""
    done = cli("init", "--single", "one.yaml")
    assert (done.code, done.out) == (0, "one.yaml\n")
    assert set(_contents(project)) == {"one.yaml"}
    config = load_file("one.yaml", environ={})
    assert config["connection_settings.host"] == "localhost"
    assert cli("init", "--single", "one.yaml").code == 2
