"""Secrets, origins, findings and Config."""

from __future__ import annotations

import copy
import json
import pickle
import timeit
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from pgstrata.errors import UnknownKeyError
from pgstrata.model import DEFAULT, Config, Finding, Origin, Secret, Setting

TEXT = "CaNaRy"


def _config() -> Config:
    port = Setting("connection_settings.port", 5432, Origin("base", "base.yaml", 2, 9))
    word = Setting("connection_settings.password", Secret(TEXT), DEFAULT, secret=True)
    target = {"connection_settings.port": port, "connection_settings.password": word}
    local = {"local": Setting("local", value=False, origin=DEFAULT)}
    return Config("production", Path(), local, {"default": target, "a": target})


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        format,
        lambda s: f"{s:>20}",
        lambda s: f"{s!s} {s!r}",
        lambda s: repr([s, (s,)]),
    ],
)
def test_a_secret_shows_a_mask(show: object) -> None:
    """Every way to print it gives the mask."""
    assert callable(show)
    assert TEXT not in show(Secret(TEXT))
    assert "****" in show(Secret(TEXT))


@pytest.mark.parametrize("dump", [pickle.dumps, json.dumps, yaml.dump, yaml.safe_dump, vars])
def test_a_secret_cannot_be_dumped(dump: object) -> None:
    """No serializer gets hold of the text."""
    assert callable(dump)
    with pytest.raises((TypeError, yaml.YAMLError)):
        dump(Secret(TEXT))


def test_a_secret_is_resolved_at_each_use() -> None:
    """What changes is seen by the next ``reveal``."""
    texts = iter(["one", "two"])
    secret = Secret(lambda: next(texts), source="a test")
    assert (secret.source, secret.reveal(), secret.reveal()) == ("a test", "one", "two")


def test_secrets_compare_by_text_and_have_no_hash() -> None:
    """A hash would be a fingerprint; a copy is the secret itself."""
    secret = Secret(TEXT)
    assert secret == Secret(TEXT)
    assert secret != Secret("other")
    assert secret != TEXT
    assert copy.deepcopy(secret) is copy.copy(secret) is secret
    assert Secret("not UTF-8: \udce9") == Secret("not UTF-8: \udce9") != secret
    with pytest.raises(TypeError):
        hash(secret)


def test_a_setting_as_a_dictionary_shows_no_secret() -> None:
    """``asdict`` copies the secret as it is."""
    assert TEXT not in repr(asdict(_config().explain("connection_settings.password")))


@pytest.mark.parametrize(
    ("origin", "text", "shape"),
    [
        (
            Origin("overlay", "p.yaml", 12, 9),
            "p.yaml:12:9",
            {"layer": "overlay", "source": "p.yaml", "line": 12, "column": 9},
        ),
        (
            Origin("environment", "PGSTRATA_X"),
            "env PGSTRATA_X",
            {"layer": "environment", "source": "PGSTRATA_X"},
        ),
        (
            Origin("libpq", "env PGHOST"),
            "libpq env PGHOST",
            {"layer": "libpq", "source": "env PGHOST"},
        ),
        (DEFAULT, "default", {"layer": "default", "source": ""}),
    ],
)
def test_origins(origin: Origin, text: str, shape: dict[str, object]) -> None:
    """An origin reads as a place, and has a JSON shape."""
    assert (str(origin), origin.as_json()) == (text, shape)


def test_a_finding_as_json_is_one_line_of_a_report() -> None:
    """The shape names its rule, place and remedy, and no source line."""
    finding = Finding("unit", "no unit", DEFAULT, "warning", "test", "a.b", "write it", "a: 3", 4)
    assert finding.as_json() == {
        "rule": "unit",
        "severity": "warning",
        "environment": "test",
        "key": "a.b",
        "message": "no unit",
        "hint": "write it",
        "origin": {"layer": "default", "source": ""},
    }


def test_a_config_is_a_frozen_mapping() -> None:
    """Values are read by dotted key; nothing can be written."""
    config = _config()
    assert config["connection_settings.port"] == config["connections.a.connection_settings.port"]
    assert "connection_settings.port" in config
    assert "connection_settings.prot" not in config
    assert config.get("connection_settings.prot") is None
    assert config.connections == ("default", "a")
    assert len(config) == len(list(config)) == 5
    with pytest.raises(AttributeError, match="frozen"):
        config.environment = "x"
    with pytest.raises(TypeError):
        config.settings["x"] = config.explain("local")  # type: ignore[index]  # what must not be
    with pytest.raises(TypeError):
        config.connection()["x"] = config.explain("local")  # type: ignore[index]  # what must not be


def test_an_unknown_key_suggests_a_known_one() -> None:
    """Reading or explaining a misspelt key says which one was meant."""
    config = _config()
    for ask in (config.__getitem__, config.explain):
        with pytest.raises(
            UnknownKeyError, match=r"'connection_settings\.prot' is not set"
        ) as caught:
            ask("connection_settings.prot")
        assert caught.value.hint == "did you mean 'connection_settings.port'?"
    with pytest.raises(UnknownKeyError, match="there are: default, a"):
        config.connection("b")


def test_reading_a_setting_is_quick() -> None:
    """It is one look into a dictionary: far below what a query takes."""
    config = _config()
    best = min(timeit.repeat(lambda: config["connection_settings.port"], number=10_000, repeat=5))
    assert best / 10_000 < 2e-6  # ten times the promise, for a busy machine; benchmarks are exact
