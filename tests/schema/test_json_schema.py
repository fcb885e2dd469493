from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from tests.layers.project import write

from pgstrata import Config, InvalidConfigError, load, load_many
from pgstrata.schema import json_schema, parameters
from pgstrata.schema.keys import SECTIONS, TABLES
from pgstrata.schema.template import SCHEMA, project_files, single_file

ROOT = Path(__file__).parents[2]
OVERLAY = Draft202012Validator(json_schema.overlay())

GOOD = [
    "connection_settings: {host: [a, b], port: [5432, '5433'], dbname: 123, user: no}",
    "connection_settings: {port: '5432,5433', connect_timeout: '5', autocommit: 'On', sslsni: 0}",
    "connection_settings: {port: '${PORT:-5432}', sslmode: '${MODE:-require}', autocommit: true}",
    "connection_settings: {host: {from_env: HOST}, port: {from_file: port}, keepalives: null}",
    "connection_settings: {password: {from_file: /run/secrets/x}, sslmode: verify-full}",
    "session_settings: {statement_timeout: 30s, TimeZone: UTC, datestyle: ISO, app.tenant: 5}",
    "session_settings: {default_transaction_isolation: Serializable, jit: off, work_mem: 64MB}",
    "session_settings: {bytea_output: '${OUT:-hex}', xmloption: {from_env: X}}",
    "session_settings: null",
    "session_settings:",
    "pool_settings: {min_size: 0, max_size: 4, timeout: 1.5, check_on_checkout: yes}",
    "connections: {reports: {connection_settings: {dbname: dwh}, pooler: pgbouncer}, old: null}",
    "secret_stores: [sealed, keyring]",
    "{protected: true, local: 'no', connection_type: async_pool, pooler: null}",
    "services: [{name: web, processes: 4}]",
    "client_addresses: [10.0.0.0/8]",
    "expected_differences: [connection_settings.host]",
]
BAD = [
    ("connection_settings: {hots: a}", "connection_settings"),
    ("connection_settings: {port: 54x2}", "connection_settings.port"),
    ("connection_settings: {port: 70000}", "connection_settings.port"),
    ("connection_settings: {sslmode: verify-ful}", "connection_settings.sslmode"),
    ("connection_settings: {connect_timeout: -1}", "connection_settings.connect_timeout"),
    ("connection_settings: {connect_timeout: 1.5}", "connection_settings.connect_timeout"),
    ("connection_settings: {user: [a, b]}", "connection_settings.user"),
    ("connection_settings: {password: {from_vault: x}}", "connection_settings.password"),
    ("connection_settings: {autocommit: maybe}", "connection_settings.autocommit"),
    ("connection_settings: [host]", "connection_settings"),
    ("conection_settings: {}", ""),
    ("session_settings: {statment_timeout: 5s}", "session_settings"),
    ("session_settings: {shared_buffers: 1GB}", "session_settings"),
    ("session_settings: {bytea_output: octal}", "session_settings.bytea_output"),
    ("pool_settings: {min_size: -1}", "pool_settings.min_size"),
    ("pool_settings: {max_size: many}", "pool_settings.max_size"),
    ("connections: {Reports: {}}", "connections"),
    ("connections: {reports: {protected: true}}", "connections.reports"),
    ("connections: {reports: {connection_settings: {hots: a}}}", "connections.reports"),
    ("connection_type: pooled", "connection_type"),
    ("secret_stores: [vault]", "secret_stores.0"),
    ("protected: perhaps", "protected"),
]


def problems(text: str) -> list[str]:
    """Return the dotted places at which a file does not fit the schema."""
    errors = OVERLAY.iter_errors(yaml.safe_load(text) or {})
    return [".".join(map(str, error.absolute_path)) for error in errors]


@pytest.mark.parametrize("schema", [json_schema.overlay(), json_schema.effective()])
def test_it_is_a_schema(schema: dict[str, Any]) -> None:
    """By the meta-schema of 2020-12, and no reference leads nowhere."""
    Draft202012Validator.check_schema(schema)
    for reference in _references(schema):
        assert reference.removeprefix("#/$defs/") in schema["$defs"]


@pytest.mark.parametrize("text", GOOD)
def test_a_good_file_fits(text: str, tmp_path: Path) -> None:
    """And loads."""
    assert problems(text) == []
    base = "connection_settings: {host: h, dbname: d, user: u}"
    (tmp_path / "port").write_text("5432")
    project = write(tmp_path, f"{base}\n" if text.startswith("connections") else "", production="")
    path = project / "environments" / ("base.yaml" if "expected" in text else "production.yaml")
    path.write_text(text)
    found = load_many(["production"], project=project, environ={"HOST": "h", "X": "content"})
    result = found["production"]
    findings = result.findings if isinstance(result, Config | InvalidConfigError) else ()
    # What is missing, and whether values fit each other, is no matter of a schema.
    assert {finding.rule for finding in findings} <= {"missing-setting", "libpq"}


@pytest.mark.parametrize(("text", "place"), BAD)
def test_a_bad_file_does_not(text: str, place: str, tmp_path: Path) -> None:
    """It is refused at its place; loading refuses it too."""
    found = problems(text)
    assert found
    assert all(one.startswith(place) for one in found)
    with pytest.raises(InvalidConfigError):
        load("production", project=write(tmp_path, production=text), environ={})


@pytest.mark.parametrize(
    "path", sorted((ROOT / "environments").glob("*.yaml")), ids=lambda path: path.name
)
def test_the_repositorys_own_files_fit(path: Path) -> None:
    """Each of them."""
    assert problems(path.read_text()) == []


@pytest.mark.parametrize("name", [*project_files(), "single"])
def test_the_scaffold_fits(name: str) -> None:
    """What init writes, and its first line leads an editor to the schema."""
    text = project_files().get(name) or single_file()
    assert problems(text) == []
    if name != "single":
        assert text.startswith(f"# yaml-language-server: $schema={SCHEMA}\n")


def test_it_says_what_the_table_says() -> None:
    """An editor shows each key's own text, default, and whether it is a secret."""
    schema = json_schema.overlay()
    for name, section in SECTIONS.items():
        assert section.doc in schema["properties"][name]["description"] or section.key
    for table, keys in TABLES.items():
        properties = schema["$defs"][table]["properties"]
        for name, key in keys.items():
            assert properties[name]["description"] == key.doc
            assert properties[name].get("default") == key.default
            assert properties[name].get("writeOnly", False) is key.secret


def test_it_has_every_parameter_of_a_session() -> None:
    """And none that belongs to the whole server."""
    there = json_schema.overlay()["$defs"]["parameters"]["properties"]
    for name in parameters.names():
        parameter = parameters.find(name)
        assert parameter is not None
        assert (name in there) is (name.lower() in there) is parameter.settable_by_session


def test_it_is_the_same_text_each_time() -> None:
    """So that a schema in git changes only with the keys."""
    text = json_schema.text(json_schema.overlay())
    assert text == json_schema.text(json_schema.overlay())
    assert json.loads(text) == json_schema.overlay()
    assert len(text) < 80_000


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for inner in node.values():
            yield from _references(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from _references(inner)
