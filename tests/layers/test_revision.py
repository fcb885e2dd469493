"""Files of a git revision, read without a checkout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.layers.project import ENVIRON, SERVER, write
from tests.repository import commit, git

from pgstrata import Config
from pgstrata.errors import EnvironmentNotFoundError, ProjectNotFoundError, UsageError
from pgstrata.layers.folder import on_disk
from pgstrata.layers.revision import at_revision
from pgstrata.loading import load_shared


def production(project: Path, revision: str = "HEAD") -> Config:
    """Load production as it was."""
    config = load_shared(["production"], at_revision(project, revision), environ=ENVIRON)
    assert isinstance(config["production"], Config)
    return config["production"]


def test_files_are_those_of_the_revision(tmp_path: Path) -> None:
    """What is written later, added or removed does not show."""
    commit(tmp_path, base=SERVER, production="pool_settings: {max_size: 3}")
    write(tmp_path, SERVER, production="pool_settings: {max_size: 9}", later="")
    folder = at_revision(tmp_path, "HEAD")
    assert folder.environments == ("production",)
    assert on_disk(tmp_path).environments == ("later", "production")
    setting = production(tmp_path).explain("pool_settings.max_size")
    assert setting.value == 3
    assert str(setting.origin) == "HEAD:environments/production.yaml:1:27"
    assert git(tmp_path, "status", "--porcelain").split("\n")[0] == "M environments/production.yaml"


def test_a_project_below_the_top_of_the_repository(tmp_path: Path) -> None:
    """Paths start at the project, wherever in the repository it is."""
    inner = tmp_path / "services" / "shop"
    inner.mkdir(parents=True)
    write(inner, SERVER, production="pool_settings: {max_size: 3}")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message=x")
    assert production(inner)["pool_settings.max_size"] == 3


@pytest.mark.parametrize("revision", ["v1", "main~1", "HEAD~1", "HEAD^"])
def test_every_way_to_name_a_commit(tmp_path: Path, revision: str) -> None:
    """Tags, branches and relative names are git's own business."""
    commit(tmp_path, base=SERVER, production="pool_settings: {max_size: 3}")
    git(tmp_path, "tag", "--annotate", "--message=x", "v1")
    commit(tmp_path, base=SERVER, production="pool_settings: {max_size: 4}")
    assert production(tmp_path, revision)["pool_settings.max_size"] == 3


def test_three_dots_are_where_the_branch_began(tmp_path: Path) -> None:
    """What main did since then is not in it."""
    commit(tmp_path, base=SERVER, production="pool_settings: {max_size: 3}")
    git(tmp_path, "branch", "feature")
    commit(tmp_path, base=SERVER, production="pool_settings: {max_size: 8}")
    git(tmp_path, "checkout", "--quiet", "feature")
    assert production(tmp_path, "main")["pool_settings.max_size"] == 8
    assert production(tmp_path, "main...")["pool_settings.max_size"] == 3


def test_links_are_followed(tmp_path: Path) -> None:
    """An environment that is a link to another is that other one."""
    commit(tmp_path, base=SERVER, staging="pool_settings: {max_size: 3}")
    (tmp_path / "environments" / "production.yaml").unlink()
    (tmp_path / "environments" / "production.yaml").symlink_to("staging.yaml")
    commit_links = git(tmp_path, "add", "--all") + git(tmp_path, "commit", "-qm", "x")
    assert commit_links == ""
    assert production(tmp_path)["pool_settings.max_size"] == 3


def test_a_committed_file_is_read_where_it_was(tmp_path: Path) -> None:
    """``from_file`` reads the revision's own file; one that git does not have, the disk's."""
    (tmp_path / "name.txt").write_text("old")
    base = "connection_settings: {host: db, user: app, dbname: {from_file: name.txt}}"
    commit(tmp_path, base=base, production="pool_settings: {name: {from_file: untracked.txt}}")
    (tmp_path / "name.txt").write_text("new")
    (tmp_path / "untracked.txt").write_text("disk")
    config = production(tmp_path)
    assert (config["connection_settings.dbname"], config["pool_settings.name"]) == ("old", "disk")


def test_inside_a_hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that git sets for its hooks do not lead to another repository."""
    commit(tmp_path, base=SERVER, production="pool_settings: {max_size: 3}")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", os.devnull)
    assert production(tmp_path)["pool_settings.max_size"] == 3


@pytest.mark.parametrize("revision", ["nonsense", "--all", "-n1", "", "HEAD:environments", "a b"])
def test_no_such_revision(tmp_path: Path, revision: str) -> None:
    """What names no commit is wrong usage; an option is never passed on to git."""
    commit(tmp_path, base=SERVER)
    with pytest.raises(UsageError, match="revision"):
        at_revision(tmp_path, revision)


def test_no_repository(tmp_path: Path) -> None:
    """Outside of a repository that is said."""
    with pytest.raises(UsageError, match="not a git repository"):
        at_revision(write(tmp_path), "HEAD")


def test_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without git on the machine that is said."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match="cannot run git"):
        at_revision(write(tmp_path), "HEAD")


def test_no_project_in_the_revision(tmp_path: Path) -> None:
    """A revision from before the project is told from a misspelt one."""
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message=x")
    with pytest.raises(ProjectNotFoundError, match=r"no environments/base\.yaml"):
        at_revision(write(tmp_path), "HEAD")


def test_no_environment_in_the_revision(tmp_path: Path) -> None:
    """The message names the revision."""
    commit(tmp_path, base=SERVER)
    found = load_shared(["qa"], at_revision(tmp_path, "HEAD"), environ=ENVIRON)["qa"]
    assert isinstance(found, EnvironmentNotFoundError)
    assert "HEAD:environments/qa.yaml does not exist" in str(found)
