from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.cli.conftest import Cli

BASE = """\
connection_settings: {user: app, dbname: app, host: base.example.com}
session_settings: {statement_timeout: 30s}
connections:
  reports:
    connection_settings: {host: reports.example.com}
"""
PRODUCTION = """\
connection_settings: {host: db.example.com}
session_settings: {statement_timeout: null}
pool_settings: {timeout: null}
"""


@pytest.fixture(autouse=True)
def _project(write: Callable[..., None]) -> None:
    write(base=BASE, development="", production=PRODUCTION)


def test_the_winner_is_first_and_marked(cli: Cli) -> None:
    """Then comes what it overrode, and at the end what the key is for."""
    done = cli("explain", "connection_settings.host", "-e", "production")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "connection_settings.host = db.example.com    [production]",
        "->  db.example.com    environments/production.yaml:1:29  overlay",
        "    base.example.com  environments/base.yaml:1:53        base",
        "   Host name, or several to be tried in order.",
    ]


def test_null_is_shown_where_it_unset_the_key(cli: Cli) -> None:
    """The null wins, and what it hides stands below."""
    out = cli("explain", "session_settings.statement_timeout", "-e", "production").out
    assert out.splitlines()[:3] == [
        "session_settings.statement_timeout = (unset)    [production]",
        "->  null  environments/production.yaml:2:39  overlay",
        "    30s   environments/base.yaml:2:39        base",
    ]


def test_null_of_a_key_with_a_default_gives_the_default(cli: Cli) -> None:
    """The default wins, and the null is still there to see."""
    out = cli("explain", "pool_settings.timeout", "-e", "production").out
    assert out.splitlines()[:3] == [
        "pool_settings.timeout = 30    [production]",
        "->  30    default",
        "    null  environments/production.yaml:3:26  overlay",
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("connection_settings.host", "--connection", "reports"),
        ("connections.reports.connection_settings.host",),
        ("connections.reports.connection_settings.host", "--connection", "reports"),
    ],
)
def test_a_named_connection_is_exact(cli: Cli, arguments: tuple[str, ...]) -> None:
    """Its own value wins over the one that it would inherit, however it is asked for."""
    out = cli("explain", "-e", "production", *arguments).out
    assert out.splitlines()[0] == f"{arguments[0]} = reports.example.com    [production]"
    assert [line.split()[-2] for line in out.splitlines()[1:-1]] == [
        "environments/base.yaml:5:33",
        "environments/production.yaml:1:29",
        "environments/base.yaml:1:53",
    ]


def test_a_connection_cannot_be_named_twice_differently(cli: Cli) -> None:
    """The key and the option must agree."""
    done = cli("explain", "connections.reports.local", "--connection", "default")
    assert done.code == 2
    assert "not a key of --connection default" in done.err


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("connection_settings.sslmode", "libpq's own default is prefer"),
        ("connection_settings.passfile", "no layer sets it"),
        ("session_settings.work_mem", "no layer sets it"),
        ("services", "no layer sets it"),
    ],
)
def test_a_key_that_nothing_sets(cli: Cli, key: str, said: str) -> None:
    """It is no error to ask; what holds instead is said."""
    done = cli("explain", key)
    assert done.code == 0
    assert done.out.startswith(f"{key} = (unset)    [development]\n")
    assert said in done.out


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("connection_settings.hots", "connection_settings.host"),
        ("conection_settings.host", "connection_settings.host"),
        ("connection_settings.database", "connection_settings.dbname"),
        ("sslmode", "connection_settings.sslmode"),
        ("timeout", "pool_settings.timeout"),
        ("statement_timeout", "session_settings.statement_timeout"),
        ("session_settings.work_mm", "session_settings.work_mem"),
        ("connections.report.connection_settings.host", "reports"),
    ],
)
def test_a_misspelt_key_is_wrong_usage(cli: Cli, key: str, meant: str) -> None:
    """The section may be misspelt, the name, or the section left out."""
    done = cli("explain", key)
    assert (done.code, done.out) == (2, "")
    assert done.err.endswith(f"hint: did you mean '{meant}'?\n")


@pytest.mark.parametrize("key", ["", ".", "..", "connection_settings.", "x.y.z", "host.host.host"])
def test_nonsense_is_wrong_usage(cli: Cli, key: str) -> None:
    """Whatever is asked, the answer is an error and never a traceback."""
    done = cli("explain", key)
    assert (done.code, done.out) == (2, "")
    assert "internal error" not in done.err


@pytest.mark.parametrize("key", ["connection_settings", "connections", "connections.reports"])
def test_a_section_is_no_key(cli: Cli, key: str) -> None:
    """A section has no value to explain."""
    assert cli("explain", key).code == 2


def test_json_has_the_documented_shape(cli: Cli) -> None:
    """The stack has the winner first."""
    shape = cli("explain", "connection_settings.host", "-e", "production", "--format", "json").json
    assert shape == {
        "environment": "production",
        "key": "connection_settings.host",
        "value": "db.example.com",
        "secret": False,
        "stack": [
            {
                "value": "db.example.com",
                "winner": True,
                "origin": {
                    "layer": "overlay",
                    "source": "environments/production.yaml",
                    "line": 1,
                    "column": 29,
                },
            },
            {
                "value": "base.example.com",
                "winner": False,
                "origin": {
                    "layer": "base",
                    "source": "environments/base.yaml",
                    "line": 1,
                    "column": 53,
                },
            },
        ],
    }


def test_an_unset_secret_is_a_secret(cli: Cli) -> None:
    """So the reader of the JSON need not know the keys."""
    shape = cli("explain", "connection_settings.password", "--format", "json").json
    assert (shape["value"], shape["secret"], shape["stack"]) == (None, True, [])


def test_a_secret_is_masked_in_the_whole_stack(cli: Cli, write: Callable[..., None]) -> None:
    """What is overridden is a secret as well."""
    write(
        base=BASE + "",
        development="connection_settings: {password: 'weaker-s3cret'}",
        development__local="connection_settings: {password: 'stronger-s3cret'}",
    )
    for output in ("text", "json"):
        done = cli("explain", "connection_settings.password", "--format", output)
        assert done.out.count("********") == 3
        assert "s3cret" not in done.out + done.err


def test_variables_and_libpq_are_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not come from a file says where it does come from."""
    monkeypatch.setenv("PGSTRATA_CONNECTION_SETTINGS__HOST", "mine.example.com")
    monkeypatch.setenv("PGHOST", "libpq.example.com")
    out = cli("explain", "connection_settings.host").out
    assert out.splitlines()[1].split(maxsplit=2)[1:] == [
        "mine.example.com",
        "env PGSTRATA_CONNECTION_SETTINGS__HOST",
    ]
    assert out.splitlines()[-2].split(maxsplit=1) == ["libpq.example.com", "libpq env PGHOST"]
