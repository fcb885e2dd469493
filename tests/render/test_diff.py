"""A comparison as text, JSON and Markdown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.layers.project import SERVER, write
from tests.test_diff import configs

from pgstrata.diff import STATUSES, Comparison, compare
from pgstrata.render import diff as render
from pgstrata.render.diff_markdown import markdown

SECRET = "hunter2-very-secret"
PASSWORD = "connection_settings.password"
WIDE = 400


@pytest.fixture
def shown(tmp_path: Path) -> Comparison:
    """Return three environments with a value, a secret and a key that not all have."""
    password = "connection_settings: {{password: {}}}\n"
    write(
        tmp_path,
        SERVER,
        production=password.format(SECRET) + 'session_settings: {app.note: "a | `b` \\e[31m"}',
        qa=password.format("other"),
        staging=password.format(SECRET) + "pool_settings: {name: '${UNSET}'}",
    )
    return compare(configs(tmp_path)).select(STATUSES[:-1])


def lines(shown: Comparison, space: int = WIDE) -> list[str]:
    """Return the text, each line without the space around it."""
    return [line.strip() for line in render.text(shown, space=space).splitlines()]


def test_a_key_is_a_heading_above_its_values(shown: Comparison) -> None:
    """Below it stand the values and their places, side by side."""
    found = render.text(shown, space=WIDE).splitlines()
    assert found[0].split() == ["production", "qa", "staging"]
    heading = found.index(f"changed  {PASSWORD}")
    assert found[heading + 1].split() == ["differs", "differs", "same", "as", "production"]
    assert found[heading + 2].split() == [
        "environments/production.yaml:1:33",
        "environments/qa.yaml:1:33",
        "environments/staging.yaml:1:33",
    ]


def test_a_secret_is_what_it_equals(shown: Comparison) -> None:
    """No format has its value; text says which environment has the same one."""
    texts = [
        render.text(shown, space=WIDE),
        json.dumps(render.as_json(shown, shown)),
        markdown(shown, shown),
    ]
    assert not any(SECRET in text or "other" in text for text in texts)
    (row,) = (row for row in shown.rows if row.key == PASSWORD)
    cells = [render.cell_text(shown, row, place) for place in range(3)]
    assert cells == ["differs", "differs", "same as production"]


@pytest.mark.parametrize("space", [20, 40, 60, 80, 100, 200])
def test_environments_wrap_as_groups(shown: Comparison, space: int) -> None:
    """No line is wider than the terminal, but for one that a single environment fills."""
    text = render.text(shown, space=space)
    matrices = text.split("\n\n")[:-1]
    for matrix in matrices:
        several = len(matrix.splitlines()[0].split()) > 1
        values = [line for line in matrix.splitlines() if line.startswith("  ")]
        assert not several or max(map(len, values)) <= space
    heads = [matrix.splitlines()[0].split() for matrix in matrices]
    assert [name for head in heads for name in head] == list(shown.environments)


def test_control_characters_are_escaped(shown: Comparison) -> None:
    """A value does nothing to a terminal."""
    assert "\x1b" not in render.text(shown, space=WIDE)
    assert "\x1b" in render.text(shown, space=WIDE, colour=True)


def test_unknown_values_say_why(shown: Comparison) -> None:
    """The reason stands below the matrix."""
    assert lines(shown)[-1] == "unknown: pool_settings.name in staging: variable UNSET is not set"


def test_nothing_differs(tmp_path: Path) -> None:
    """There is no matrix then, and the summary says so."""
    everything = compare(configs(write(tmp_path, SERVER, qa="")))
    nothing = everything.select(STATUSES[:-1])
    assert render.text(nothing, space=80) == ""
    assert markdown(everything, nothing) == render.summary(everything)
    assert render.summary(everything).startswith("0 changed, 0 missing, 0 unknown, ")


def test_json(shown: Comparison) -> None:
    """The shape has a value, a fingerprint or a reason for each environment that has something."""
    shape = json.loads(json.dumps(render.as_json(shown, shown)))
    assert shape["environments"] == ["production", "qa", "staging"]
    keys = {key["key"]: key for key in shape["keys"]}
    prints = {name: cell["fingerprint"] for name, cell in keys[PASSWORD]["values"].items()}
    assert keys[PASSWORD]["secret"]
    assert prints["production"] == prints["staging"] != prints["qa"]
    note = keys["session_settings.app.note"]
    assert list(note["values"]) == ["production"]
    assert note["values"]["production"]["origin"]["line"] == 2
    assert keys["pool_settings.name"]["values"]["staging"]["unknown"] == "variable UNSET is not set"


def test_markdown_is_not_broken_by_values(shown: Comparison) -> None:
    """Bars and backticks in a value stay in its cell."""
    (row,) = (line for line in markdown(shown, shown).splitlines() if "app.note" in line)
    assert "``a \\| `b` \\x1b[31m``" in row
    assert row.replace("\\|", "").count("|") == 6
