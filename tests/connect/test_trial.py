from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.connect.conftest import TYPES, Make, settings
from tests.servers import PASSWORD, Server

from pgstrata.connect.failure import ConnectionFailedError
from pgstrata.connect.trial import attempt
from pgstrata.errors import EnvInterpolationError
from pgstrata.local.cluster import free_port


@pytest.mark.parametrize("kind", TYPES)
def test_a_trial_says_where_it_leads(make: Make, server: Server, database: str, kind: str) -> None:
    """The host that was connected to, and what the server says of itself."""
    trial = attempt(make(settings(server, database)), kind, "default")
    assert trial.error is None
    assert (trial.connection_type, trial.server) == (kind, f"127.0.0.1:{server.port}")
    assert (trial.database, trial.user, trial.tls) == (database, "postgres", "")
    assert trial.version.startswith(str(server.version))
    assert trial.seconds > 0


@pytest.mark.parametrize("kind", TYPES)
def test_the_host_that_answered_is_named(
    make: Make, server: Server, database: str, kind: str
) -> None:
    """Of several hosts the one that libpq came to in the end."""
    ports = f"{free_port()},{server.port}"
    manager = make(settings(server, database, host="127.0.0.1,localhost", port=ports))
    assert attempt(manager, kind, "default").server == f"localhost:{server.port}"


@pytest.mark.parametrize("kind", TYPES)
def test_nothing_stays_open(make: Make, server: Server, database: str, kind: str) -> None:
    """After a trial no session of it is left on the server."""
    attempt(make(settings(server, database)), kind, "default")
    sessions = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}'"
    # A server sees the end of a session a moment later, so it is asked more than once.
    assert any(server.sql(sessions) == [(0,)] for _ in range(200))


@pytest.mark.parametrize("kind", TYPES)
def test_a_failed_connection_is_part_of_the_trial(make: Make, server: Server, kind: str) -> None:
    """With the real reason."""
    trial = attempt(make(settings(server, port=free_port())), kind, "default")
    assert isinstance(trial.error, ConnectionFailedError)
    assert "Connection refused" in str(trial.error)


@pytest.fixture
def curbed(server: Server, database: str) -> Iterator[str]:
    """Return a role that may connect to the database, and may not ask about TLS there."""
    role = f"curbed_{database}"
    server.sql(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
    server.sql("REVOKE SELECT ON pg_stat_ssl FROM PUBLIC", database)
    yield role
    server.sql(f"DROP ROLE {role}")


@pytest.mark.parametrize("kind", TYPES)
def test_a_failed_query_is_part_of_the_trial(
    make: Make, server: Server, database: str, curbed: str, kind: str
) -> None:
    """A server may accept a connection and refuse the first question."""
    trial = attempt(make(settings(server, database, user=curbed)), kind, "default")
    assert isinstance(trial.error, ConnectionFailedError)
    assert "connected, but a first query failed: permission denied" in str(trial.error)


@pytest.mark.parametrize("kind", TYPES)
def test_a_secret_that_cannot_be_had_is_raised(make: Make, server: Server, kind: str) -> None:
    """No attempt was made, so there is no trial of it."""
    manager = make(settings(server, password={"from_env": "NOT_SET_ANYWHERE"}))
    with pytest.raises(EnvInterpolationError, match="NOT_SET_ANYWHERE"):
        attempt(manager, kind, "default")
