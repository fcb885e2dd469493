"""A server for the recipes that may be restarted, with the ledger's table."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from tests import versions
from tests.conftest import started
from tests.recipes.ledger import EXAMPLES
from tests.servers import Server


@pytest.fixture(scope="module")
def own_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Return a server that no other module uses."""
    with started(lambda: versions.bindir(request.config.getoption("--pg"))) as running:
        running.append_conf("fsync = on\nsynchronous_commit = on")
        running.reload()
        yield running


@pytest.fixture
def ledger(own_server: Server) -> Iterator[str]:
    """Return the name of a database with an empty ledger."""
    name = f"ledger_{uuid.uuid4().hex[:12]}"
    own_server.sql(f"CREATE DATABASE {name}")
    own_server.sql((EXAMPLES / "schema.sql").read_text(), dbname=name)
    yield name
    own_server.sql(f"DROP DATABASE {name} WITH (FORCE)")
