"""New passwords: seen by running pools, and changed on a real server and in its store at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from tests.secrets.sealed.team import PASSWORD, Team, make_team
from tests.servers import Server

from pgstrata import Config, ConnectionFailedError, PGConnectionManager, PgstrataError, Secret, load
from pgstrata.connect.async_connection import AsyncConnection
from pgstrata.connect.connection import Connection
from pgstrata.connect.conninfo import Conninfo
from pgstrata.connect.rotation import HalfRotatedError, Staging, rotate
from pgstrata.secrets.sealed import edit, parse

ROLE = "rotating"
OLD, NEW = "the old one", "the new 'one' \\ with ünïcode"


@pytest.fixture
def role(server: Server) -> Iterator[str]:
    """Return a role whose password is OLD."""
    server.sql(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{OLD}'")
    yield ROLE
    server.sql(f"DROP ROLE {ROLE}")


@pytest.fixture
def team(tmp_path: Path, server: Server, role: str) -> Team:
    """Return a team whose production is ``server``, with the role's password sealed."""
    team = make_team(tmp_path)
    (team.path.parent / "base.yaml").write_text(
        f"connection_settings: {{host: {server.host}, port: {server.port}, dbname: postgres, "
        f"user: {role}}}\npool_settings: {{min_size: 0, max_size: 1}}\n"
    )
    (team.path.parent / "production.yaml").write_text("")
    team.seal(PASSWORD, OLD)
    return team


def config_of(team: Team) -> Config:
    """Load production as a holder of its key."""
    return load("production", project=team.project, environ=team.holder)


def staging(team: Team, **over: Callable[..., object]) -> Staging:
    """Return the staging of the sealed password."""
    where = team.path, team.access()
    steps: dict[str, Callable[..., object]] = {
        "stage": lambda value: edit.set_entry(*where, PASSWORD, value, pending=True),
        "commit": lambda: edit.accept(*where, [PASSWORD]),
        "drop": lambda: edit.reject(*where, [PASSWORD]),
        **over,
    }
    return Staging(steps["stage"], steps["commit"], steps["drop"], "pending")


def logs_in(server: Server, password: str) -> bool:
    """Tell whether the server takes a password for the role."""
    try:
        psycopg.connect(**server.keywords(user=ROLE, password=password)).close()
    except psycopg.OperationalError:
        return False
    return True


def pending(team: Team) -> list[str]:
    """Return what is pending in the sealed file."""
    return [entry.at for entry in parse.read(team.path, "production").pending]


def test_both_have_the_new_password(team: Team, server: Server) -> None:
    """The server takes it, and the store gives it to the next connection."""
    rotate(config_of(team), "default", Secret(NEW), staging(team))
    assert logs_in(server, NEW)
    assert not logs_in(server, OLD)
    assert team.open() == NEW
    assert pending(team) == []


def test_only_a_verifier_travels(team: Team, server: Server) -> None:
    """The log of the server, with all statements in it, has no password."""
    server.sql(f"ALTER ROLE {ROLE} SET log_statement = 'none'")
    server.sql("ALTER SYSTEM SET log_statement = 'all'")
    server.reload()
    try:
        rotate(config_of(team), "default", Secret("canary-in-the-log"), staging(team))
    finally:
        server.sql("ALTER SYSTEM RESET log_statement")
        server.reload()
    assert "canary-in-the-log" not in server.log_text()


def test_a_running_pool_uses_it(team: Team) -> None:
    """Its next connection, that is; nothing is restarted."""
    manager = PGConnectionManager("production", project=team.project, environ=team.holder)
    with manager.pool() as connection:
        connection.execute("SELECT 1")
    rotate(config_of(team), "default", Secret(NEW), staging(team))
    manager.pool().pool.drain()
    with manager.pool() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    manager.clear_cache()


@pytest.mark.parametrize("failing", ["stage", "commit"])
def test_a_failing_store_changes_nothing(team: Team, server: Server, failing: str) -> None:
    """The server has the old password again."""

    def fail(*_: object) -> object:
        raise PgstrataError("no space left")

    with pytest.raises(PgstrataError, match="no space left"):
        rotate(config_of(team), "default", Secret(NEW), staging(team, **{failing: fail}))
    assert logs_in(server, OLD)
    assert team.open() == OLD
    assert pending(team) == []


def test_a_wrong_old_password_changes_nothing(team: Team, server: Server) -> None:
    """There is no way in."""
    team.seal(PASSWORD, "wrong")
    with pytest.raises(ConnectionFailedError, match="password authentication failed"):
        rotate(config_of(team), "default", Secret(NEW), staging(team))
    assert logs_in(server, OLD)
    assert team.open() == "wrong"
    assert pending(team) == []


def test_where_neither_works_the_new_one_is_not_lost(team: Team, server: Server) -> None:
    """It stays where nothing reads it, and that is said."""

    def commit() -> object:
        server.sql(f"ALTER ROLE {ROLE} NOLOGIN")
        raise PgstrataError("no space left")

    with pytest.raises(HalfRotatedError, match="neither the old nor the new") as caught:
        rotate(config_of(team), "default", Secret(NEW), staging(team, commit=commit))
    assert caught.value.exit_code == 5
    assert team.open() == OLD
    assert pending(team) == [PASSWORD]


def test_a_new_password_that_does_not_log_in_is_taken_back(team: Team, server: Server) -> None:
    """The role may have no way in with the new one: a server that says so gets the old one."""
    server.sql(f"ALTER ROLE {ROLE} CONNECTION LIMIT 1")  # so the trial login is refused
    with pytest.raises(ConnectionFailedError, match="too many connections"):
        rotate(config_of(team), "default", Secret(NEW), staging(team))
    assert logs_in(server, OLD)
    assert team.open() == OLD
    assert pending(team) == []


def changing(values: list[str]) -> Secret:
    """Return a secret that has the next of these values each time, and the last one ever after."""
    return Secret(lambda: values.pop(0) if len(values) > 1 else values[0], source="test")


def made_with(server: Server, password: Secret) -> Conninfo:
    """Return what to connect with."""
    keywords = {"host": server.host, "port": str(server.port), "user": ROLE, "dbname": "postgres"}
    return Conninfo("test", {**keywords, "password": password})


def test_a_secret_that_changed_meanwhile_is_tried_again(server: Server, role: str) -> None:
    """The first one was read just before it was rotated."""
    Connection.connect(made_with=made_with(server, changing(["before", OLD]))).close()


async def test_also_asynchronously(server: Server, role: str) -> None:
    """As with the synchronous one."""
    secret = changing(["before", OLD])
    await (await AsyncConnection.connect(made_with=made_with(server, secret))).close()


def test_one_that_did_not_change_is_not(server: Server, role: str) -> None:
    """A server may lock a role after so many failures."""
    before = server.log_text().count("password authentication failed")
    with pytest.raises(ConnectionFailedError):
        Connection.connect(made_with=made_with(server, Secret("wrong")))
    assert server.log_text().count("password authentication failed") == before + 1
