from __future__ import annotations

from pathlib import Path

import pytest

from pgstrata.errors import ProjectNotFoundError
from pgstrata.layers.project import environment_name, environments, project_folder


def test_each_overlay_file_is_an_environment(tmp_path: Path) -> None:
    """Local and sealed files, other names and other endings are none."""
    folder = tmp_path / "environments"
    folder.mkdir()
    for name in (
        *("base.yaml", "waivers.yaml", "b.yaml", "a-1_x.yaml", "b.local.yaml", "b.sealed.yaml"),
        *(".hidden.yaml", "-x.yaml", "two words.yaml", "c.yml", "readme.md"),
    ):
        (folder / name).touch()
    assert environments(tmp_path) == ("a-1_x", "b")


@pytest.mark.parametrize("made", ["nothing", "a file", "a folder without base.yaml"])
def test_no_project_is_an_error_that_says_what_was_looked_for(tmp_path: Path, made: str) -> None:
    """The folder or the file is named, and the way out."""
    if made == "a file":
        (tmp_path / "environments").touch()
    elif made != "nothing":
        (tmp_path / "environments").mkdir()
    with pytest.raises(ProjectNotFoundError, match="environments") as caught:
        environments(tmp_path)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("said", "environ", "meant"),
    [
        ("staging", {"PGSTRATA_ENV": "production"}, "staging"),
        (None, {"PGSTRATA_ENV": "production"}, "production"),
        (None, {"PGSTRATA_ENV": ""}, "development"),
        (None, {}, "development"),
    ],
)
def test_the_environment_that_is_meant(
    said: str | None, environ: dict[str, str], meant: str
) -> None:
    """The caller's word, then the variable's, then development."""
    assert environment_name(said, environ) == meant


def test_the_folder_that_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller's word, then the variable's, then the current one; never a parent of it."""
    monkeypatch.chdir(tmp_path)
    variable = {"PGSTRATA_PROJECT": "b"}
    assert project_folder("a", variable) == tmp_path / "a"
    assert project_folder(None, variable) == tmp_path / "b"
    assert project_folder(None, {}) == tmp_path
