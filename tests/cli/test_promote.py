from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Cli

BASE = """\
connection_settings: {host: db, dbname: app, user: app}
session_settings: {statement_timeout: 30s}
"""
STAGING = """\
connection_settings:
  password: literal-secret
  sslmode: ${MODE:-require}
session_settings: {statement_timeout: 10s, lock_timeout: null}
server: {system_identifier: '7', shared: true}
client_addresses: [10.0.0.0/8]
connections:
  reports:
    pool_settings: {max_size: 4}
    server: {system_identifier: '8'}
"""
PRODUCTION = """\
# Careful.
session_settings:
  statement_timeout: 1min   # long reports
"""


@pytest.fixture(autouse=True)
def _project(write: Callable[..., None]) -> None:
    write(base=BASE, staging=STAGING, production=PRODUCTION, canary="extends: production\n")


@pytest.fixture
def production(project: Path) -> Path:
    """Return the file that is promoted to."""
    return project / "environments" / "production.yaml"


def test_it_only_plans(cli: Cli, production: Path) -> None:
    """And shows what each environment would have, those that extend the target too."""
    done = cli("promote", "staging", "production", "session_settings.statement_timeout")
    assert done.code == 0
    assert "1min  10s   environments/staging.yaml:4:39" in done.out
    changes = [line.split() for line in done.out.splitlines() if line.startswith(("can", "prod"))]
    assert changes == [
        ["canary", "session_settings.statement_timeout", "1min", "10s"],
        ["production", "session_settings.statement_timeout", "1min", "10s"],
    ]
    assert "nothing is written yet" in done.err
    assert "--apply" in done.err
    assert production.read_text() == PRODUCTION


def test_apply_writes_the_plan(cli: Cli, production: Path) -> None:
    """With all comments; a second time there is nothing to do."""
    production.chmod(0o640)
    arguments = ("promote", "staging", "production", "session_settings.statement_timeout")
    done = cli(*arguments, "--apply")
    assert (done.code, done.err) == (0, "")
    assert production.read_text() == PRODUCTION.replace("1min ", "10s  ")
    if os.name == "posix":
        assert stat.S_IMODE(production.stat().st_mode) == 0o640
    done = cli(*arguments, "--apply")
    assert (done.code, done.out) == (0, "")
    assert "nothing to do: production has these values already" in done.err
    assert cli("show", "-e", "canary").code == 0


def test_several_keys_at_once(cli: Cli, production: Path) -> None:
    """References are carried as they are written, and so is what unsets a key."""
    keys = ("connection_settings.sslmode", "connections.reports.pool_settings.max_size")
    done = cli("promote", "staging", "production", *keys, "--apply", "--format", "json")
    shape = done.json
    assert shape["applied"] is True
    assert [(edit["key"], edit["before"], edit["after"]) for edit in shape["edits"]] == [
        ("connection_settings.sslmode", "", "${MODE:-require}"),
        ("connections.reports.pool_settings.max_size", "", "4"),
    ]
    effects = {(e["environment"], e["key"]): (e["before"], e["after"]) for e in shape["effects"]}
    assert effects["canary", "connection_settings.sslmode"] == (None, "require")
    assert "sslmode: ${MODE:-require}" in production.read_text()
    assert cli("check", "--all", "--fail-on", "never").code == 0


def test_an_inherited_value_becomes_a_connections_own(cli: Cli, production: Path) -> None:
    """It is written under the key that was named."""
    production.write_text("connections: {reports: {}}\n")
    key = "connections.reports.session_settings.statement_timeout"
    assert cli("promote", "staging", "production", key, "--apply").code == 0
    assert cli("explain", "-e", "production", key).out.startswith(f"{key} = 10s")
    other = cli("explain", "-e", "production", "session_settings.statement_timeout")
    assert "= 30s" in other.out


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("connection_settings.password", "is a secret"),
        ("connection_settings.sslpassword", "is a secret"),
        ("connection_settings.host", "says which server this is"),
        ("connection_settings.user", "says which server this is"),
        ("connection_settings.url", "says which server this is"),
        ("connections.reports.connection_settings.dbname", "says which server this is"),
        ("connections.reports.connection_settings.password", "is a secret"),
        ("server.system_identifier", "says which server this is"),
        ("server.shared", "says which server this is"),
        ("connections.reports.server.system_identifier", "says which server this is"),
        ("client_addresses", "says where the clients of this environment are"),
        ("protected", "says what kind of environment this is"),
        ("policy", "belongs to all environments"),
        ("session_settings", "is a whole section"),
        ("connections", "is a whole section"),
        ("connections.reports", "is a whole section"),
        ("connections.reports.pool_settings", "is a whole section"),
        ("pool_settings.timeout", "comes from default"),
    ],
)
def test_what_is_not_promoted(cli: Cli, production: Path, key: str, why: str) -> None:
    """Secrets, and what makes an environment the one that it is."""
    done = cli("promote", "staging", "production", key, "--apply")
    assert (done.code, done.out) == (2, "")
    assert why in done.err
    assert "literal-secret" not in done.err
    assert production.read_text() == PRODUCTION


def test_what_one_machine_says_is_not_promoted(
    cli: Cli, production: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable or the local file is nobody else's."""
    monkeypatch.setenv("PGSTRATA_SESSION_SETTINGS__STATEMENT_TIMEOUT", "1s")
    done = cli("promote", "staging", "production", "session_settings.statement_timeout")
    assert done.code in (0, 2)
    assert production.read_text() == PRODUCTION
    monkeypatch.delenv("PGSTRATA_SESSION_SETTINGS__STATEMENT_TIMEOUT")
    production.with_name("staging.local.yaml").write_text("session_settings: {lock_timeout: 9s}")
    done = cli("promote", "staging", "production", "session_settings.lock_timeout")
    assert done.code == 2
    assert "it comes from environments/staging.local.yaml" in done.err


def test_a_stronger_layer_is_pointed_out(cli: Cli, production: Path) -> None:
    """What is written then changes nothing here."""
    production.with_name("production.local.yaml").write_text("pool_settings: {max_size: 9}")
    production.with_name("staging.yaml").write_text("pool_settings: {max_size: 40}")
    done = cli("promote", "staging", "production", "pool_settings.max_size")
    assert done.code == 0
    assert "still decided by environments/production.local.yaml:1:27" in done.err
    assert [line for line in done.out.splitlines() if line.startswith("production")] == []


def test_nothing_is_written_that_breaks_an_environment(cli: Cli, production: Path) -> None:
    """The findings are those of the file as it would be."""
    production.with_name("canary.yaml").write_text(
        "extends: production\npool_settings: {min_size: 9}\n"
    )
    production.with_name("staging.yaml").write_text("pool_settings: {max_size: 5}\n")
    done = cli("promote", "staging", "production", "pool_settings.max_size", "--apply")
    assert done.code == 3
    assert "min_size 9 is larger than max_size 5" in done.err
    assert production.read_text() == PRODUCTION


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("staging", "staging", "pool_settings.max_size"), 2),
        (("staging", "nosuch", "pool_settings.max_size"), 3),
        (("nosuch", "staging", "pool_settings.max_size"), 3),
        (("staging", "production", "pool_settings.max_siz"), 3),
        (("staging", "production"), 2),
    ],
)
def test_wrong_usage(cli: Cli, arguments: tuple[str, ...], code: int) -> None:
    """Is said and does nothing."""
    done = cli("promote", *arguments)
    assert (done.code, done.out) == (code, "")
    assert done.err


@pytest.mark.skipif(os.name != "posix", reason="links are POSIX's here")
def test_a_link_stays_one(cli: Cli, production: Path, project: Path) -> None:
    """The file that it leads to is written."""
    real = project / "real.yaml"
    production.rename(real)
    production.symlink_to(real)
    key = "session_settings.statement_timeout"
    assert cli("promote", "staging", "production", key, "--apply").code == 0
    assert production.is_symlink()
    assert "10s" in real.read_text()
