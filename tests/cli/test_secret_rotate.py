"""``pgstrata secret rotate --apply``: on a real server, and for all who use the password."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from tests.cli.conftest import Cli, reveal
from tests.secrets.test_keyring import UNLOCK, desktop, run
from tests.servers import PASSWORD as SERVERS_PASSWORD
from tests.servers import Server

from pgstrata.errors import CONFIG, OK
from pgstrata.layers.stores import PASSWORD

ROLE = "at_the_command_line"
ANALYTICS = f"connections.analytics.{PASSWORD}"
Write = Callable[..., None]


@pytest.fixture
def role(server: Server) -> Iterator[str]:
    """Return a role that can log in as ``old``."""
    server.sql(f"CREATE ROLE {ROLE} LOGIN PASSWORD 'old'")
    yield ROLE
    server.sql(f"DROP ROLE {ROLE}")


@pytest.fixture
def shop(secret: Cli, sealed: Any, write: Write, server: Server, role: str) -> Callable[[str], Cli]:
    """Return a function that gives production the connection ``analytics``."""
    sealed(PASSWORD, "old")

    def add(settings: str) -> Cli:
        base = f"{{host: {server.host}, port: {server.port}, user: {role}, dbname: postgres}}"
        own = f"{{analytics: {{connection_settings: {settings}}}}}"
        write(base=f"connection_settings: {base}\nconnections: {own}\n", production="")
        return secret

    return add


def logs_in(server: Server, password: str) -> bool:
    """Tell whether the server takes a password for the role."""
    try:
        psycopg.connect(**server.keywords(user=ROLE, password=password)).close()
    except psycopg.OperationalError:
        return False
    return True


def rotate(secret: Cli, key: str = PASSWORD) -> Any:
    """Rotate a value, on the server too."""
    return secret("rotate", key, "-e", "production", "--apply")


@pytest.mark.parametrize("settings", ["{}", "{dbname: template1}", "{host: localhost}"])
def test_all_who_inherit_a_password_get_the_new_one(
    shop: Callable[[str], Cli], cli: Cli, settings: str
) -> None:
    """Of another database, or of the same server by another name."""
    done = rotate(shop(settings))
    assert done.code == OK, done.err
    assert reveal(shop(settings)) != "old"
    for connection in ((), ("--connection", "analytics")):
        assert cli("test", "-e", "production", "--type", "normal", *connection).code == OK


@pytest.mark.parametrize("apply", [(), ("--apply",)])
def test_an_inherited_password_is_rotated_where_it_is(
    shop: Callable[[str], Cli], server: Server, apply: tuple[str, ...]
) -> None:
    """A second entry for one connection would leave the other with the old one."""
    done = shop("{}")("rotate", ANALYTICS, "-e", "production", *apply)
    assert done.code == CONFIG
    assert f"it is that of {PASSWORD}" in done.err
    assert logs_in(server, "old")


def test_another_role_with_the_same_password_is_named(
    shop: Callable[[str], Cli], server: Server
) -> None:
    """Its password would not be changed on the server."""
    server.sql("CREATE ROLE another LOGIN PASSWORD 'old'")
    try:
        done = rotate(shop("{user: another}"))
    finally:
        server.sql("DROP ROLE another")
    assert done.code == CONFIG
    assert "analytics would have a wrong password" in done.err
    assert f"pgstrata secret set {ANALYTICS}" in done.err
    assert logs_in(server, "old")
    assert reveal(shop("{}")) == "old"


def test_another_cluster_with_the_same_password_is_named(
    shop: Callable[[str], Cli], sealed: Any, server: Server, tls_server: Server
) -> None:
    """Though the role is of the same name there."""
    sealed(PASSWORD, SERVERS_PASSWORD)
    server.sql(f"CREATE ROLE plain_user LOGIN PASSWORD '{SERVERS_PASSWORD}'")
    secret = shop(f"{{host: {tls_server.host}, port: {tls_server.port}, sslmode: disable}}")
    try:
        with pytest.MonkeyPatch.context() as environ:
            environ.setenv("PGSTRATA_CONNECTION_SETTINGS__USER", "plain_user")
            done = rotate(secret)
    finally:
        server.sql("DROP ROLE plain_user")
    assert done.code == CONFIG
    assert "analytics would have a wrong password" in done.err


def test_the_same_role_with_another_entry_is_named(
    shop: Callable[[str], Cli], sealed: Any, server: Server
) -> None:
    """That entry would keep the old password."""
    secret = shop("{dbname: template1}")
    sealed(ANALYTICS, "old")
    for key, other in ((PASSWORD, "analytics"), (ANALYTICS, "default")):
        done = rotate(secret, key)
        assert done.code == CONFIG
        assert f"{other} would have a wrong password: the same role" in done.err
    assert logs_in(server, "old")


CUT_OFF = r"""
import io
from contextlib import redirect_stderr, redirect_stdout
import psycopg
from pgstrata import load
from pgstrata.cli.group import run

PASSWORD, SERVER, ROLE = "connection_settings.password", {server!r}, {role!r}
Path("shop/environments").mkdir(parents=True)
os.chdir("shop")
Path("environments/base.yaml").write_text(
    "connection_settings: {{host: %(host)s, port: %(port)s, dbname: postgres, user: %(role)s}}\n"
    % {{**SERVER, "role": ROLE}}
)
Path("environments/production.yaml").write_text("secret_stores: [keyring]\n")

def cli(*line, code=0):
    err = io.StringIO()
    with redirect_stdout(err), redirect_stderr(err):
        ended = run([*line, "-e", "production"])
    assert ended == code, (ended, err.getvalue())
    return err.getvalue()

def reveal():
    return load("production")[PASSWORD].reveal()

keyring.set("shop", "production", PASSWORD, Secret("old"))
cli("secret", "rotate", PASSWORD, "--apply")
first = reveal()
assert first != "old"
cli("test", "--type", "normal")
keyring.stage("shop", "production", PASSWORD, Secret("new"))       # and cut off before the server
said = cli("secret", "rotate", PASSWORD, "--apply", code=3)
accept = "secret", "accept", PASSWORD, "--store", "keyring"
assert " ".join(accept[:2]) in said and "--store keyring" in said, said
cli("secret", "accept", "--store", "keyring", code=2)
cli(*accept, "--reject")
assert reveal() == first
cli("test", "--type", "normal")
keyring.stage("shop", "production", PASSWORD, Secret("new"))       # and cut off after the server
with psycopg.connect(**SERVER, user=ROLE, password=first, dbname="postgres") as session:
    session.execute("ALTER ROLE " + ROLE + " PASSWORD 'new'")
cli(*accept)
assert reveal() == "new"
cli("test", "--type", "normal")
cli(*accept, code=3)
cli("secret", "rotate", PASSWORD, "--apply")
"""


@desktop
def test_a_rotation_in_the_keyring_that_was_cut_off_is_ended(
    tmp_path_factory: pytest.TempPathFactory, server: Server, role: str
) -> None:
    """By what is pending being taken over or dropped, as the server says."""
    home = tmp_path_factory.mktemp("home")
    code = CUT_OFF.format(server={"host": server.host, "port": server.port}, role=role)
    run(f"os.chdir({str(home)!r})\n{code}", home, *UNLOCK)


def test_a_server_that_cannot_be_asked_changes_nothing(
    shop: Callable[[str], Cli], server: Server
) -> None:
    """Whether another connection is of the same server has to be known first."""
    done = rotate(shop("{port: 1}"))
    assert done.code != OK
    assert "cannot connect to production/analytics" in done.err
    assert logs_in(server, "old")


def test_a_password_that_nobody_uses_has_no_server(
    shop: Callable[[str], Cli], sealed: Any, write: Write
) -> None:
    """Where the top-level sections are no connection, and the others have their own passwords."""
    secret = shop("{}")
    sealed(ANALYTICS, "other")
    write(
        base="connections: {analytics: {connection_settings: {host: x, dbname: x, user: x}}}\n",
        production="",
    )
    done = rotate(secret)
    assert done.code == CONFIG
    assert f"no connection of production logs in with {PASSWORD}" in done.err
