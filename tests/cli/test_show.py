from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.cli.conftest import Cli

from pgstrata.cli.choose import settings_of
from pgstrata.loading import load
from pgstrata.schema.keys import CONNECTION, SECTIONS

BASE = """\
session_settings: {statement_timeout: 30s, idle_in_transaction_session_timeout: 1min}
pool_settings: {max_lifetime: 1800}
connection_settings:
  user: app
  dbname: app
  host: db.example.com
connections:
  reports:
    connection_settings: {dbname: warehouse}
"""
STAGING = """\
session_settings: {idle_in_transaction_session_timeout: null}
connection_settings:
  password: {from_env: NOT_SET_ANYWHERE}
"""


@pytest.fixture(autouse=True)
def _project(write: Callable[..., None]) -> None:
    write(base=BASE, development="", staging=STAGING)


def _row(text: str, key: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(f"{key} "))


def test_rows_have_key_value_and_origin(cli: Cli) -> None:
    """A row is what `explain` takes, the value as it was written, and file, line and column."""
    done = cli("show")
    assert (done.code, done.err) == (0, "")
    assert _row(done.out, "connection_settings.host").split() == [
        "connection_settings.host",
        "db.example.com",
        "environments/base.yaml:6:9",
    ]
    assert _row(done.out, "pool_settings.max_lifetime").split()[1] == "1800"
    assert _row(done.out, "pool_settings.timeout").split()[1:] == ["30", "default"]


def test_rows_stand_in_the_order_of_the_schema(cli: Cli) -> None:
    """Not in the order of the files: two environments can be read side by side."""
    keys = [line.split()[0] for line in cli("show").out.splitlines()[1:]]
    sections = [key.partition(".")[0] for key in keys]
    assert sections == sorted(sections, key=list(SECTIONS).index)
    names = [key.partition(".")[2] for key in keys if key.startswith("connection_settings.")]
    assert names == sorted(names, key=list(CONNECTION).index)


def test_an_unset_key_says_so(cli: Cli) -> None:
    """A null is shown with the place that unset the key."""
    key = "session_settings.idle_in_transaction_session_timeout"
    row = _row(cli("show", "-e", "staging").out, key)
    assert row.split()[1:] == ["(unset)", "environments/staging.yaml:1:57"]


def test_one_long_value_leaves_the_other_rows_alone(cli: Cli, write: Callable[..., None]) -> None:
    """A list runs over in its own row, and the origins of the others stay in 100 columns."""
    hosts = ", ".join(f"replica{number}.example.com" for number in range(9))
    write(base=BASE, development=f"connection_settings:\n  host: [{hosts}]\n")
    wide = [line for line in cli("show").out.splitlines() if len(line) > 100]
    assert [line.split()[0] for line in wide] == ["connection_settings.host"]


def test_secrets_are_masked_and_not_looked_up(cli: Cli) -> None:
    """Without --reveal no secret is needed: its source is shown instead."""
    done = cli("show", "-e", "staging")
    assert done.code == 0
    assert "******** (env NOT_SET_ANYWHERE)" in _row(done.out, "connection_settings.password")


def test_reveal_prints_secrets(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --reveal the text is printed, and in JSON exactly as it is."""
    monkeypatch.setenv("NOT_SET_ANYWHERE", "s3\nret")
    done = cli("show", "-e", "staging", "--reveal")
    assert _row(done.out, "connection_settings.password").split()[1] == "s3\\nret"
    settings = cli("show", "-e", "staging", "--reveal", "--format", "json").json["settings"]
    assert {"s3\nret"} == {setting["value"] for setting in settings if setting["secret"]}


@pytest.mark.parametrize("output", ["text", "json"])
def test_reveal_names_the_secret_that_cannot_be_had(cli: Cli, output: str) -> None:
    """It ends with 3, names the place and the variable, and prints no half result."""
    done = cli("show", "-e", "staging", "--reveal", "--format", output)
    assert (done.code, done.out) == (3, "")
    assert "environments/staging.yaml:3:13: connection_settings.password" in done.err
    assert "NOT_SET_ANYWHERE" in done.err


def test_json_has_the_documented_shape(cli: Cli) -> None:
    """Environment, connection, and settings with key, value, secret and origin."""
    shape = cli("show", "-e", "staging", "--connection", "reports", "--format", "json").json
    assert set(shape) == {"environment", "connection", "settings"}
    assert (shape["environment"], shape["connection"]) == ("staging", "reports")
    by_key = {setting.pop("key"): setting for setting in shape["settings"]}
    place = {"layer": "base", "source": "environments/base.yaml", "line": 9, "column": 35}
    warehouse = {"value": "warehouse", "secret": False, "origin": place}
    assert by_key["connection_settings.dbname"] == warehouse
    assert by_key["connection_settings.password"]["value"] == "********"
    assert by_key["protected"]["origin"] == {"layer": "default", "source": ""}


def test_what_libpq_would_add_is_shown(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PG* variable that takes part is a row; one that is overridden is none."""
    monkeypatch.setenv("PGSSLMODE", "require")
    monkeypatch.setenv("PGHOST", "elsewhere.example.com")
    done = cli("show")
    row = _row(done.out, "connection_settings.sslmode")
    assert row.split(maxsplit=2)[1:] == ["require", "libpq env PGSSLMODE"]
    assert "elsewhere" not in done.out


def test_a_misspelt_connection_is_wrong_usage(cli: Cli) -> None:
    """The right name is suggested."""
    done = cli("show", "--connection", "report")
    assert (done.code, done.out) == (2, "")
    assert "no connection 'report'" in done.err
    assert "hint: did you mean 'reports'?" in done.err


def test_terminal_commands_in_a_value_are_escaped(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value cannot move the cursor, colour the screen, or start a new line."""
    monkeypatch.setenv("PGSTRATA_CONNECTION_SETTINGS__APPLICATION_NAME", "a\x1b[2Jb\nc")
    assert "a\\x1b[2Jb\\nc " in cli("show").out


def test_every_setting_has_a_place(cli: Cli) -> None:
    """No setting of a loaded environment is lost on the way to the table."""
    config = load("development")
    shown = {line.split()[0] for line in cli("show").out.splitlines()[1:]}
    assert shown == {setting.key for setting in settings_of(config, "default")}
    own = {key for key in config.settings if not key.startswith("connections.")}
    assert own <= shown


@pytest.mark.parametrize("output", ["text", "json"])
def test_nothing_is_revealed_in_ci(cli: Cli, monkeypatch: pytest.MonkeyPatch, output: str) -> None:
    """As by ``secret get``, because logs are kept there; --force reveals it all the same."""
    monkeypatch.setenv("NOT_SET_ANYWHERE", "canary")
    monkeypatch.setenv("CI", "true")
    line = ("show", "-e", "staging", "--reveal", "--format", output)
    done = cli(*line)
    assert (done.code, done.out) == (2, "")
    assert "--force" in done.err
    assert "canary" in cli(*line, "--force").out
    assert cli("show", "-e", "staging").code == 0
