from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from tests.servers import Server, embedded_bindir

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent
OLD = 16  # the newest version that does not skip bad rows itself


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep these tests, of which each makes a database, out of the default run."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def old_server() -> Iterator[Server]:
    """Return a server from before COPY learnt to skip bad rows."""
    with Server.running(embedded_bindir(OLD)) as running:
        yield running


@pytest.fixture
def own_server() -> Iterator[Server]:
    """Return a server that a test may crash: what it has said is committed stays."""
    with Server.running(embedded_bindir(), conf="synchronous_commit = on") as running:
        yield running


@pytest.fixture(params=["new", "old"])
def either(request: pytest.FixtureRequest) -> Iterator[psycopg.Connection[Any]]:
    """Return a connection to an empty database on a new and on an old server."""
    server: Server = request.getfixturevalue("server" if request.param == "new" else "old_server")
    name = f"test_{uuid.uuid4().hex[:12]}"
    server.sql(f"CREATE DATABASE {name}")
    with psycopg.connect(**server.keywords(dbname=name)) as connection:
        yield connection
    server.sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def connection(server: Server, database: str) -> Iterator[psycopg.Connection[Any]]:
    """Return a connection to an empty database."""
    with psycopg.connect(**server.keywords(dbname=database)) as connection:
        yield connection


@pytest.fixture
def people(connection: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Return a connection to a database with an empty table ``people``."""
    create_people(connection)
    return connection


def create_people(connection: psycopg.Connection[Any]) -> None:
    """Create a table with a key, a default, an awkward name and a generated column."""
    connection.execute(
        'CREATE TABLE people (id int PRIMARY KEY, "Full Name" text, amount numeric,'
        " added date NOT NULL DEFAULT '2026-01-01',"
        " double numeric GENERATED ALWAYS AS (amount * 2) STORED)"
    )
    connection.commit()


def strike_at(
    connection: psycopg.Connection[Any],
    statement: str,
    strike: Callable[[], object],
    *,
    after: bool = False,
) -> None:
    """Let something happen just before, or after, a statement that begins so."""
    base = connection.cursor_factory

    class Struck(base):  # type: ignore[misc, valid-type]  # of a blocking connection, or not
        def execute(self, query: Any, *rest: Any, **more: Any) -> Any:
            meant = _text(query).startswith(statement)
            if meant and not after:
                strike()
            done = super().execute(query, *rest, **more)
            if meant and after:
                strike()
            return done

    connection.cursor_factory = Struck


def interrupt() -> None:
    """Do as Ctrl-C does."""
    raise KeyboardInterrupt


def _text(query: Any) -> str:
    return query if isinstance(query, str) else str(query.as_string(None))


@pytest.fixture
def csv_file(tmp_path: Path) -> Any:
    """Return a function that writes a file and returns its path."""

    def write(data: str | bytes, name: str = "people.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    return write
