from __future__ import annotations

from pathlib import Path

import pytest

from pgstrata.errors import ProjectNotFoundError
from pgstrata.layers.outline import Outline, outline


def _project(folder: Path, **texts: str) -> Path:
    (folder / "environments").mkdir()
    for name, text in {"base": "", **texts}.items():
        path = folder / "environments" / f"{name.replace('__', '.')}.yaml"
        path.write_text(text, encoding="utf-8")
    return folder


def test_files_stand_weakest_first(tmp_path: Path) -> None:
    """Base, the ancestors from the first one on, the own file, and what is this machine's own."""
    project = _project(
        tmp_path,
        staging="extends: common",
        common="",
        production="extends: staging",
        production__local="",
        production__sealed="",
    )
    found = {one.name: one for one in outline(project)}
    assert list(found) == ["common", "production", "staging"]
    assert found["production"] == Outline(
        "production",
        "staging",
        protected=False,
        local=False,
        files=(
            "base.yaml",
            "common.yaml",
            "staging.yaml",
            "production.yaml",
            "production.local.yaml",
            "production.sealed.yaml",
        ),
    )


@pytest.mark.parametrize(
    ("texts", "protected"),
    [
        ({"base": "protected: true"}, True),
        ({"base": "protected: true", "one": "protected: false"}, False),
        ({"base": "protected: true", "one": "protected: null"}, False),
        ({"one": "protected: yes"}, True),
        ({"one": "protected: perhaps"}, False),
        ({"one": "protected: [true]"}, False),
        ({"one": "extends: two", "two": "protected: on"}, True),
        ({"one": "", "one__local": "protected: true"}, True),
    ],
)
def test_the_strongest_word_counts(tmp_path: Path, texts: dict[str, str], protected: bool) -> None:  # noqa: FBT001  # a parameter of the test
    """The nature of an environment is what loading it would find."""
    found = outline(_project(tmp_path, **{"one": "", **texts}))
    assert found[0].protected is protected


@pytest.mark.parametrize("text", ["a: [", "\t- x", "- a list", "x: *unknown", "", "a: 1\na: 2"])
def test_a_broken_file_is_outlined_by_its_name(tmp_path: Path, text: str) -> None:
    """What is wrong with it is for `check` to say."""
    (found,) = outline(_project(tmp_path, one=text))
    assert (found.name, found.extends, found.files) == ("one", None, ("base.yaml", "one.yaml"))


def test_a_circle_ends(tmp_path: Path) -> None:
    """Each file is there once."""
    found = outline(_project(tmp_path, a="extends: b", b="extends: a", c="extends: c"))
    assert [one.files[1:] for one in found] == [
        ("b.yaml", "a.yaml"),
        ("a.yaml", "b.yaml"),
        ("c.yaml",),
    ]


@pytest.mark.parametrize("parent", ["nobody", "base", "null", "''"])
def test_a_parent_that_is_none(tmp_path: Path, parent: str) -> None:
    """The chain ends where there is no such environment."""
    (found,) = outline(_project(tmp_path, one=f"extends: {parent}"))
    assert found.files == ("base.yaml", "one.yaml")


def test_without_a_project(tmp_path: Path) -> None:
    """There is nothing to outline, which is not the same as no environments."""
    with pytest.raises(ProjectNotFoundError):
        outline(tmp_path)
    assert outline(_project(tmp_path)) == []
