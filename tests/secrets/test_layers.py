"""Sealed files and the keyring as layers of an environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.secrets.sealed.team import PASSWORD, Team, make_team

import pgstrata
from pgstrata import InvalidConfigError, Secret, SecretError, load
from pgstrata.model import Setting

ANALYTICS = f"connections.analytics.{PASSWORD}"
BASE = """\
connection_settings: {host: db, dbname: app, user: app, password: weakest}
connections:
  analytics: {connection_settings: {dbname: warehouse}}
"""


@pytest.fixture
def team(tmp_path: Path) -> Team:
    """Return a team whose project has base.yaml, production.yaml and a sealed password."""
    team = make_team(tmp_path)
    write(team, "base", BASE)
    write(team, "production", "protected: true\n")
    return team


def write(team: Team, name: str, text: str) -> None:
    """Write a file of the project."""
    (team.path.parent / f"{name}.yaml").write_text(text)


def setting(team: Team, key: str = PASSWORD, **environ: str) -> Setting:
    """Load production without any key, and return one setting."""
    config = load("production", project=team.project, environ={**team.nobody, **environ})
    return config.explain(key)


def revealed(team: Team, key: str = PASSWORD, **environ: str) -> str:
    """Return the value that a holder of the key sees."""
    config = load("production", project=team.project, environ={**team.holder, **environ})
    value = config[key]
    assert isinstance(value, Secret)
    return value.reveal()


def test_a_sealed_value_has_its_place(team: Team) -> None:
    """Nobody needs a key to see that there is one, and where."""
    found = setting(team)
    assert str(found.origin) == "environments/production.sealed.yaml:10:7"
    assert found.origin.layer == "sealed"
    assert isinstance(found.value, Secret)
    assert found.value.source == "sealed environments/production.sealed.yaml"
    assert [given.origin.layer for given in found.stack] == ["sealed", "base"]
    assert revealed(team) == "correct horse"


def test_without_a_key_only_its_use_fails(team: Team) -> None:
    """With every place that was looked at."""
    value = setting(team).value
    assert isinstance(value, Secret)
    with pytest.raises(SecretError, match="no key for environments/production"):
        value.reveal()


def test_sealed_is_stronger_than_local_and_weaker_than_a_variable(team: Team) -> None:
    """The order of the layers."""
    write(team, "production.local", "connection_settings: {password: local}\n")
    stack = setting(team, PGSTRATA_CONNECTION_SETTINGS__PASSWORD="variable").stack
    layers = [given.origin.layer for given in stack]
    assert layers == ["environment", "sealed", "local", "base"]


def test_arguments_are_stronger_still(team: Team) -> None:
    """What the program says wins."""
    config = load("production", project=team.project, environ={}, overrides={PASSWORD: "argued"})
    value = config[PASSWORD]
    assert isinstance(value, Secret)
    assert value.reveal() == "argued"


def test_named_connections_inherit_or_have_their_own(team: Team) -> None:
    """A sealed top-level password is that of all connections that have none."""
    assert revealed(team, ANALYTICS) == "correct horse"
    team.seal(ANALYTICS, "their own")
    assert revealed(team, ANALYTICS) == "their own"
    assert revealed(team) == "correct horse"


def test_a_parents_sealed_file_is_not_inherited(team: Team) -> None:
    """Its readers are others."""
    write(team, "canary", "extends: production\n")
    config = load("canary", project=team.project, environ=team.nobody)
    assert config.explain(PASSWORD).origin.layer == "base"


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("connection_settings.host", "not the name of a secret setting"),
        ("connection_settings.url", "a URL cannot be stored"),
        ("pool_settings.max_size", "not the name of a secret setting"),
        (f"connections.analitycs.{PASSWORD}", "no file has a connection 'analitycs'"),
    ],
)
def test_what_is_no_secret_is_a_finding(team: Team, key: str, message: str) -> None:
    """With the line in the sealed file, and what was meant."""
    team.seal(key, "anything")
    with pytest.raises(InvalidConfigError, match=message) as caught:
        setting(team)
    (finding,) = caught.value.findings
    assert finding.rule == "stored-key"
    assert (finding.origin.layer, finding.origin.column) == ("sealed", 7)
    assert finding.hint


def test_a_malformed_file_is_among_the_other_problems(team: Team) -> None:
    """All problems are told at once."""
    team.path.write_bytes(team.path.read_bytes() + b"# a comment\n")
    write(team, "production", "conection_settings: {}\n")
    with pytest.raises(InvalidConfigError) as caught:
        setting(team)
    assert {finding.rule for finding in caught.value.findings} == {"sealed-file", "unknown-section"}


def test_stores_can_be_left_out(team: Team) -> None:
    """An empty list of stores is none."""
    write(team, "production", "secret_stores: []\n")
    assert setting(team).origin.layer == "base"


@pytest.mark.parametrize(
    ("stores", "layers"),
    [
        ("[sealed]", ["sealed", "base"]),
        ("[keyring]", ["keyring", "base"]),
        ("[sealed, keyring]", ["keyring", "sealed", "base"]),
        ("[keyring, sealed]", ["sealed", "keyring", "base"]),
    ],
)
def test_stores_are_layers_in_the_order_given(team: Team, stores: str, layers: list[str]) -> None:
    """Weakest first."""
    write(team, "production", f"secret_stores: {stores}\n")
    assert [given.origin.layer for given in setting(team).stack] == layers


def test_an_unusable_keyring_is_no_reason_to_use_a_weaker_value(team: Team) -> None:
    """It says so instead."""
    write(team, "production", "secret_stores: [sealed, keyring]\n")
    with pytest.raises(SecretError, match="no OS keyring here"):
        revealed(team)


def test_the_keyring_is_asked_for_what_is_mentioned(team: Team) -> None:
    """The top-level password always, and other secrets that a weaker layer has, be it as null."""
    write(
        team,
        "production",
        "secret_stores: [keyring]\n"
        "connections: {analytics: {connection_settings: {sslpassword: null}}}\n",
    )
    config = load("production", project=team.project, environ=team.nobody)
    from_keyring = [k for k, found in config.settings.items() if found.origin.layer == "keyring"]
    assert sorted(from_keyring) == [
        PASSWORD,
        ANALYTICS,
        "connections.analytics.connection_settings.sslpassword",
    ]


def test_loading_imports_no_slow_library(team: Team) -> None:
    """Neither cryptography nor keyring, whatever the stores."""
    write(team, "production", "secret_stores: [sealed, keyring]\n")
    code = (
        "import sys; from pgstrata import load\n"
        f"config = load('production', project={str(team.project)!r}, environ={{}})\n"
        f"print(config.explain({PASSWORD!r}))\n"
        "slow = [name for name in ('cryptography', 'keyring') if name in sys.modules]\n"
        "assert not slow, slow"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(Path(pgstrata.__file__).parents[1])},
        check=True,
        capture_output=True,
    )
