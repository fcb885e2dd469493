from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import yaml
from tests.cli.conftest import Cli, fresh

ENVIRONMENT = """\
connection_settings:
  host: db
  dbname: größe
  user: app
  password: {from_env: DB_PASSWORD}
  keepalives: 1
"""


@pytest.fixture(autouse=True)
def _project(write: Callable[..., None]) -> None:
    write(prod=ENVIRONMENT, local="local: true")


def test_the_file_goes_to_stdout_and_the_rest_to_stderr(cli: Cli) -> None:
    """So that the file can be piped or redirected."""
    done = cli("render", "-e", "prod", "--as", "url")
    assert (done.code, done.out) == (
        0,
        "postgresql://app@db/gr%C3%B6%C3%9Fe?keepalives=1&connect_timeout=5\n",
    )
    assert done.err == "pgstrata: left out: password: a secret; --reveal writes it\n"


def test_reveal_writes_the_secret(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """And needs it, while a reference does not."""
    assert cli("render", "-e", "prod", "--as", "shell").code == 0
    done = cli("render", "-e", "prod", "--as", "shell", "--reveal")
    assert (done.code, done.out) == (3, "")
    assert "variable DB_PASSWORD is not set" in done.err
    monkeypatch.setenv("DB_PASSWORD", "it's")
    done = cli("render", "-e", "prod", "--as", "pgpass", "--reveal")
    assert (done.code, done.out, done.err) == (0, "db:5432:*:app:it's\n", "")


def test_it_is_utf8_whatever_the_terminal_speaks() -> None:
    """A file is not for the terminal."""
    for form, read in (("yaml", yaml.safe_load), ("json", json.loads)):
        done = fresh("render", "-e", "prod", "--as", form, PYTHONIOENCODING="ascii", LC_ALL="C")
        assert read(done.out)["connection_settings"]["dbname"] == "größe"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--as", "toml"), "'toml' is not one of"),
        ((), "--as"),
        (("--as", "pgpass"), "--reveal"),
        (("--as", "k8s-secret"), "--reveal"),
        (("--as", "url", "--connection", "x"), "no connection 'x'"),
        (("--as", "url", "-e", "local"), "no lasting address"),
    ],
)
def test_wrong_usage(cli: Cli, arguments: tuple[str, ...], says: str) -> None:
    """Writes nothing to stdout, which may be the file."""
    done = cli("render", "-e", "prod", *arguments)
    assert (done.code, done.out) == (2, "")
    assert says in done.err
