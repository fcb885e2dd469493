from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.cli.conftest import Cli

Write = Callable[..., None]
BASE = """\
connection_settings: {host: db.example.com, dbname: app, user: app, password: x}
connections:
  other: {connection_settings: {host: other.example.com}}
  same: {connection_settings: {dbname: more}}
"""
ONE = "client_addresses: [10.20.0.0/16]\nservices: [{name: web, replicas: 100}]\n"


@pytest.fixture
def written(write: Write) -> None:
    """Write a project with two servers."""
    write(base=BASE, one=ONE, here="local: true")


def test_all_servers(cli: Cli, written: None) -> None:
    """As text, with all named connections."""
    done = cli("recommend", "-e", "one")
    assert (done.code, done.err) == (0, "")
    assert "one: db.example.com:5432 (default, same)\n" in done.out
    assert "one: other.example.com:5432 (other)\n" in done.out
    assert "  max_connections = 113\n" in done.out


def test_json(cli: Cli, written: None) -> None:
    """With the version of its shape."""
    shape: Any = cli("recommend", "-e", "one", "--as", "json").json
    assert shape["environment"] == "one"
    assert [server["connections"] for server in shape["servers"]] == [
        ["default", "same"],
        ["other"],
    ]


@pytest.mark.parametrize(
    ("form", "line"),
    [
        ("conf", "listen_addresses = '*'"),
        ("hba", "host more app 10.20.0.0/16 scram-sha-256"),
        ("sql", "ALTER ROLE app CONNECTION LIMIT 110;"),
    ],
)
def test_one_server(cli: Cli, written: None, form: str, line: str) -> None:
    """By any of the connections that go there; all of them count."""
    for name in ("default", "same"):
        done = cli("recommend", "-e", "one", "--connection", name, "--as", form)
        assert (done.code, done.err) == (0, "")
        assert line in done.out.splitlines()


def test_a_file_for_two_servers_is_refused(cli: Cli, written: None) -> None:
    """The hint says how to choose."""
    done = cli("recommend", "-e", "one", "--as", "conf")
    assert (done.code, done.out) == (2, "")
    assert "hint: choose one by a connection that goes there: --connection NAME" in done.err


def test_the_embedded_server(cli: Cli, written: None) -> None:
    """Nothing to say, which is said."""
    done = cli("recommend", "-e", "here")
    assert (done.code, done.out) == (0, "")
    assert "set up by pgstrata itself" in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("-e", "none"), 3, "none"),
        (("-e", "one", "--connection", "othr"), 2, "did you mean 'other'?"),
        (("-e", "one", "--as", "yaml"), 2, "yaml"),
    ],
)
def test_wrong_usage(
    cli: Cli, written: None, arguments: tuple[str, ...], code: int, says: str
) -> None:
    """Is told as everywhere."""
    done = cli("recommend", *arguments)
    assert (done.code, done.out) == (code, "")
    assert says in done.err


def test_a_wrong_address(cli: Cli, write: Write) -> None:
    """The configuration cannot be used, with the place."""
    write(base=BASE, one="client_addresses: [10.0.0.0/99]\n")
    done = cli("recommend", "-e", "one")
    assert (done.code, done.out) == (3, "")
    assert "environments/one.yaml:1:20" in done.err
