"""Fixtures for tests against a real PostgreSQL: a database or a schema for each test.

pytest finds this module by its entry point in every project where pgstrata is installed, so it
imports nothing but pytest until a test asks for a fixture. ``pgstrata_env`` says which environment
is used; one that says ``protected: true`` is refused. Every name is made up anew, so that any
number of processes, as of pytest-xdist, share a server.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

if TYPE_CHECKING:
    import psycopg

    from pgstrata.connect.manager import PGConnectionManager
    from pgstrata.model import Config

    Prepare: TypeAlias = Callable[[psycopg.Connection[Any]], object]

_DBNAME = "connection_settings.dbname"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the environment and the project be chosen."""
    parser.addini("pgstrata_env", "environment of the pgstrata fixtures", default="test")
    parser.addini("pgstrata_project", "folder that holds environments/", default=".")
    parser.getgroup("pgstrata").addoption(
        "--pgstrata-env", metavar="NAME", help="environment of the pgstrata fixtures"
    )


@pytest.fixture(scope="session")
def pgstrata_env(request: pytest.FixtureRequest) -> str:
    """Return the environment: ``--pgstrata-env``, or ``pgstrata_env`` of the ini file, or test."""
    return str(request.config.getoption("pgstrata_env") or request.config.getini("pgstrata_env"))


@pytest.fixture(scope="session")
def pgstrata_project(request: pytest.FixtureRequest) -> Path:
    """Return the folder that holds ``environments/``: ``pgstrata_project`` of the ini file, seen
    from pytest's root, which it is by default.
    """
    return request.config.rootpath / str(request.config.getini("pgstrata_project"))


@pytest.fixture(scope="session")
def pgstrata_prepare() -> Prepare:
    """Return what fills a new database or schema, by its connection; nothing by default.

    A project overrides this to make its tables. It is committed afterwards.
    """
    return lambda _: None


@pytest.fixture(scope="session")
def pgstrata_admin(pgstrata_env: str, pgstrata_project: Path) -> PGConnectionManager:
    """Return the manager of the environment itself, whose role may create databases.

    Raises ``UsageError`` for a protected environment.
    """
    from pgstrata.connect.manager import PGConnectionManager
    from pgstrata.errors import UsageError

    manager = PGConnectionManager(pgstrata_env, project=pgstrata_project)
    if manager.config.get("protected"):
        raise UsageError(
            f"the environment {pgstrata_env!r} is protected: tests do not run on it",
            hint="name another with pgstrata_env in the ini file, or with --pgstrata-env",
        )
    return manager


@pytest.fixture(scope="session")
def pgstrata_template(
    pgstrata_admin: PGConnectionManager, pgstrata_prepare: Prepare
) -> Iterator[str]:
    """Return the name of a prepared database, which those of the tests are copied from."""
    with _new_database(pgstrata_admin, "template0") as name:
        with _pointed(pgstrata_admin, {_DBNAME: name}) as manager, manager.normal() as connection:
            pgstrata_prepare(connection)
        yield name


@pytest.fixture(scope="session")
def pgstrata_shared(pgstrata_admin: PGConnectionManager) -> Iterator[str]:
    """Return the name of this process's database for tests that have a schema each."""
    with _new_database(pgstrata_admin, "template0") as name:
        yield name


@pytest.fixture
def pgstrata_database(
    pgstrata_admin: PGConnectionManager, pgstrata_template: str
) -> Iterator[PGConnectionManager]:
    """Yield a manager whose connections all lead to a prepared database of this test's own.

    While the test runs, ``PGSTRATA_*`` variables lead every other manager of this process, and of
    those that it starts, to the same place.
    """
    with (
        _new_database(pgstrata_admin, pgstrata_template) as name,
        _pointed(pgstrata_admin, {_DBNAME: name}) as manager,
    ):
        yield manager


@pytest.fixture
def pgstrata_schema(
    pgstrata_admin: PGConnectionManager, pgstrata_shared: str, pgstrata_prepare: Prepare
) -> Iterator[PGConnectionManager]:
    """Yield a manager whose ``search_path`` begins with a prepared schema of this test's own.

    That is quicker than a database, and enough where all names are unqualified. The variables are
    set as for ``pgstrata_database``.
    """
    name = _new_name()
    settings = {_DBNAME: pgstrata_shared, "session_settings.search_path": f"{name}, public"}
    with _pointed(pgstrata_admin, settings) as manager:
        with manager.normal() as connection:
            connection.execute(f"CREATE SCHEMA {name}".encode())
            pgstrata_prepare(connection)
        yield manager
        manager.shutdown(grace=0)
        with manager.connect() as connection:  # shut down are only its handles
            connection.execute(f"DROP SCHEMA {name} CASCADE".encode())


def _new_name() -> str:
    return f"test_{uuid.uuid4().hex}"


@contextmanager
def _new_database(admin: PGConnectionManager, template: str) -> Iterator[str]:
    name = _new_name()
    _run(admin, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield name
    finally:
        _run(admin, f"DROP DATABASE {name} WITH (FORCE)")


def _run(admin: PGConnectionManager, statement: str) -> None:
    connection = admin.connect()
    try:
        connection.autocommit = True  # databases are not made or dropped in a transaction
        connection.execute(statement.encode())
    finally:
        connection.close()


@contextmanager
def _pointed(admin: PGConnectionManager, settings: dict[str, str]) -> Iterator[PGConnectionManager]:
    """Set the variables that lead all connections elsewhere, and yield a manager that obeys."""
    from pgstrata.connect.manager import PGConnectionManager

    config = admin.config
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PGSTRATA_ENV", config.environment)
        environment.setenv("PGSTRATA_PROJECT", str(config.project))
        for key, value in settings.items():
            for variable in _variables(config, key):
                environment.setenv(variable, value)
        with PGConnectionManager(environ=dict(os.environ)) as manager:
            yield manager


def _variables(config: Config, key: str) -> Iterator[str]:
    """Yield the variables that set a key for every connection, whatever each says itself."""
    for name in config.connections:
        place = key if name == "default" else f"connections.{name}.{key}"
        yield f"PGSTRATA_{place.replace('.', '__').upper()}"
