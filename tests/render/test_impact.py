"""The impact of a change as text, JSON and Markdown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.layers.project import SERVER
from tests.test_impact import tree

from pgstrata.impact import Impact, impacts
from pgstrata.render import impact as render

SECRET = "hunter2-very-secret"


@pytest.fixture
def found(tmp_path: Path) -> list[Impact]:
    """Return what happens to two environments alike, to a third one, and not to a fourth."""
    own = "pool_settings: {max_size: 1}\n"
    unset = "connection_settings: {password: {from_env: UNSET}}"
    before = tree(
        tmp_path / "a", SERVER + "pool_settings: {max_size: 5}", qa="", test=own + unset, old=""
    )
    after = tree(
        tmp_path / "b",
        SERVER + "pool_settings: {max_size: 6}",
        qa="",
        test=own + unset,
        staging=f"protected: true\nconnection_settings: {{password: {SECRET}}}",
    )
    return impacts(before, after)


def test_text(found: list[Impact]) -> None:
    """Environments that a change does the same to stand together, the unaffected at the end."""
    text = render.text(found).splitlines()
    assert text[0].startswith("old: environment removed: ")
    assert "production, qa: 1 changed" in text
    at = text.index("production, qa: 1 changed")
    assert text[at + 1 : at + 4] == [
        "  changed  pool_settings.max_size",
        "       5    environments/base.yaml:2:27",
        "    -> 6    environments/base.yaml:2:27",
    ]
    assert text[-2] == "test: nothing changes"
    assert text[-1].endswith("connection_settings.password (variable UNSET is not set) in test")


def test_markdown(found: list[Impact]) -> None:
    """The comment counts, lists the environments, and has the changes of each below."""
    text = render.markdown(found, "origin/main")
    assert "Compared with `origin/main`: 4 of 5 environments." in text
    assert "| `production`, `qa` | 1 changed |" in text
    assert "<details><summary>production, qa</summary>\n\n| key |" in text
    assert "| `staging` (protected) | new environment: " in text


def test_json(found: list[Impact]) -> None:
    """Each environment has its state, and each key what it was and what it is."""
    shape = {one["name"]: one for one in json.loads(json.dumps(render.as_json(found)))}
    assert shape["qa"]["state"] == "affected"
    (key,) = shape["qa"]["keys"]
    assert (key["before"]["value"], key["after"]["value"]) == (5, 6)
    assert shape["test"]["uncompared"] == ["connection_settings.password"]
    assert shape["staging"]["protected"]


def test_no_format_shows_a_secret(found: list[Impact]) -> None:
    """A new password is set, and that is all that is said."""
    texts = (render.text(found), render.markdown(found, "x"), json.dumps(render.as_json(found)))
    assert not any(SECRET in text for text in texts)
