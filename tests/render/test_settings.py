from __future__ import annotations

import json
from typing import Any

import pytest

from pgstrata.model import DEFAULT, Given, Origin, Secret, Setting
from pgstrata.render.settings import as_json, stack_json, stack_text, text, value_text

BASE = Origin("base", "environments/base.yaml", 3, 9)
SECRET = Secret("s3cret", source="env DB_PASSWORD")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "(unset)"),
        (True, "true"),
        (10, "10"),
        (1800.0, "1800"),
        (0.5, "0.5"),
        ("", ""),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("数据 é", "数据 é"),
        ("C:\\keys", "C:\\keys"),
        (("a", "b"), "[a, b]"),
        (({"name": "api", "replicas": "3"},), "[{name: api, replicas: 3}]"),
        (SECRET, "******** (env DB_PASSWORD)"),
    ],
)
def test_a_value_is_one_line(value: Any, shown: str) -> None:
    """As it would be written in a file; nothing in it can command the terminal."""
    assert value_text(value) == shown


def test_reveal_is_the_only_way_to_a_secret() -> None:
    """Neither text nor JSON hold it otherwise, in no part of a stack."""
    setting = Setting("password", SECRET, BASE, secret=True, overrode=(Given(SECRET, DEFAULT),))
    assert "s3cret" not in text([setting]) + stack_text(setting)
    assert "s3cret" not in json.dumps([as_json(setting), stack_json(setting)])
    assert "s3cret" in text([setting], reveal=True)
    assert as_json(setting, reveal=True)["value"] == "s3cret"


def test_a_stack_marks_its_winner() -> None:
    """A null is shown as it was written; only a place in a file needs its layer's name."""
    null = Given(None, Origin("overlay", "environments/one.yaml", 1, 2))
    setting = Setting("timeout", 30.0, DEFAULT, overrode=(null, Given(60.0, BASE)))
    assert stack_text(setting).splitlines() == [
        "->  30    default",
        "    null  environments/one.yaml:1:2   overlay",
        "    60    environments/base.yaml:3:9  base",
    ]
    assert [given["winner"] for given in stack_json(setting)] == [True, False, False]
    assert [given["value"] for given in stack_json(setting)] == [30.0, None, 60.0]
