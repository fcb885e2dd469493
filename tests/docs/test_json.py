"""What the reference says about JSON is what commands print that talk to a real server."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.servers import PASSWORD, Server

from pgstrata.cli.group import run

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "json.md"
SHAPE = re.compile(r"^## ([a-z ]+)\n\n```json\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHAPES = {name: json.loads(text) for name, text in SHAPE.findall(PAGE.read_text(encoding="utf-8"))}
TYPES = {str: "text", bool: "true or false", int: "number", float: "number", type(None): "null"}
# Maps whose keys are the reader's own names.
FREE = {"values", "masks"}


@pytest.fixture
def database(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return a database with a table and a file for it; this process stands in its project."""
    name = f"json_{uuid.uuid4().hex[:12]}"
    server.sql(f"CREATE DATABASE {name}")
    (tmp_path / "environments").mkdir()
    for file, text in {
        "environments/base.yaml": (
            f"connection_settings: {{host: {server.host}, port: {server.port}, user: postgres,"
            f" password: {PASSWORD}, dbname: {name}, connect_timeout: 10}}\n"
        ),
        "environments/development.yaml": "{}\n",
        "notes.csv": "what\none\ntwo\n",
    }.items():
        (tmp_path / file).write_text(text)
    server.sql("CREATE TABLE notes (what text)", name)
    server.sql("CREATE TABLE copied (what text)", name)
    monkeypatch.chdir(tmp_path)
    yield name
    server.sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("test", "test"),
        ("import", "import notes notes.csv"),
        ("export", "export notes out.csv"),
        ("copy", "copy notes --from development --to development --as copied"),
        ("local status", "local status"),
        ("top", "top"),
    ],
)
def test_the_page_says_what_is_printed(
    command: str, line: str, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """All keys of the output, none more, and of the types that are said."""
    code = run([*line.split(), "--format", "json"])
    printed = capsys.readouterr()
    assert code == (1 if command == "local status" else 0), printed.err
    assert list(differences(json.loads(printed.out), SHAPES[command])) == []


def differences(value: Any, shape: Any, place: str = "") -> Iterator[str]:
    """Yield where a value is not as its shape says."""
    if isinstance(value, dict) and isinstance(shape, dict):
        if place.rpartition(".")[2] in FREE:
            return
        if value.keys() ^ shape.keys():
            yield f"{place}: {sorted(value.keys() ^ shape.keys())}"
        for key in value.keys() & shape.keys():
            yield from differences(value[key], shape[key], f"{place}.{key}")
    elif isinstance(value, list) and isinstance(shape, list):
        for inner in value:
            yield from differences(inner, shape[0], f"{place}[]")
    elif shape != "anything" and value is not None and TYPES.get(type(value)) not in shape:
        yield f"{place}: {value!r} is not {shape}"
