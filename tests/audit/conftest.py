"""Clients of real servers, and what an audit sees of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests import versions
from tests.audit.program import (
    AUDITOR as LOGIN,
)
from tests.audit.program import (
    CONF,
    DB,
    HBA,
    Well,
    environments,
    prepared,
    settings,
    wait_for,
    with_hba,
)
from tests.certificates import DAY, Certificates, make_certificates
from tests.conftest import find_tls
from tests.servers import PASSWORD, Server, embedded_bindir
from tests.standby import Standby, replicating

from pgstrata.audit.facts import role_sql
from pgstrata.audit.gather import Endpoint, endpoints
from pgstrata.audit.run import look
from pgstrata.check.scope import Connection
from pgstrata.loading import load_mapping

APP, MONITOR, AUDITOR = "audited_app", "audited_monitor", "audited_auditor"
# The roles by what they may see, least first.
VIEWERS = (APP, MONITOR, AUDITOR, "postgres")
_ROLES = f"""
CREATE ROLE {APP} LOGIN PASSWORD '{PASSWORD}';
CREATE ROLE {MONITOR} LOGIN PASSWORD '{PASSWORD}';
GRANT pg_monitor TO {MONITOR};
"""


def client(server: Server, **over: Any) -> Connection:
    """Return a connection to a server, as a program's configuration has it."""
    settings = server.keywords(**{"user": APP, **over})
    config = load_mapping({"connection_settings": settings}, environ={})
    return Connection(config, "default", config.connection())


def endpoint(server: Server, **over: Any) -> Endpoint:
    """Return the only endpoint of such a connection."""
    (found,) = endpoints(client(server, **over))
    return found


def with_roles(server: Server) -> Server:
    """Give a server the roles of ``VIEWERS``."""
    server.sql(_ROLES)
    wanted = role_sql(AUDITOR).split("-- PostgreSQL 15 and newer:\n")
    for part in wanted if server.version >= 15 else wanted[:1]:
        server.sql(part)
    server.sql(f"ALTER ROLE {AUDITOR} PASSWORD '{PASSWORD}'")
    return server


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(
            version, marks=() if version in (15, 16, 18) else pytest.mark.matrix, id=str(version)
        )
        for version in versions.VERSIONS
    ],
)
def any_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Return a server of each version with the roles of ``VIEWERS``; it logs all statements."""
    programs = versions.bindir(request.param)
    with Server.running(programs, conf="log_statement = all") as running:
        yield with_roles(running)


@pytest.fixture(scope="session")
def well(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Well]:
    """Return a server without TLS; a test leaves it as it was."""
    folder = tmp_path_factory.mktemp("in-order")
    with Server.running(embedded_bindir(18), conf=CONF, hba=HBA) as running:
        prepared(running)
        (view,) = look(environments(folder, production=settings(running)), login=LOGIN)
        yield Well(running, view)


@pytest.fixture(scope="session")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Return certificates that nobody has to renew soon; the client's is for ``cert_user``."""
    return make_certificates(tmp_path_factory.mktemp("lasting"), 400 * DAY)


@pytest.fixture(scope="session")
def well_tls(lasting: Certificates) -> Iterator[Server]:
    """Return a server that is in order, with TLS; skip where there is none."""
    programs = find_tls()
    if isinstance(programs, str):
        pytest.skip(f"no server with TLS: {programs}")
    with Server.running(programs, conf=CONF, hba=HBA) as running:
        running.set_tls(lasting.server, lasting.ca)
        running.reload()
        yield prepared(running)


@pytest.fixture(scope="session")
def pair() -> Iterator[tuple[Server, Standby]]:
    """Return a primary with the program's role and database, and its standby."""
    with replicating(embedded_bindir(18)) as (primary, standby):
        prepared(primary)
        # A commit waits until the standby has it, not until it has applied it.
        wait_for(standby, f"SELECT count(*) = 1 FROM pg_database WHERE datname = '{DB}'")
        for server in (primary, standby):
            with_hba(server, (*HBA, "local replication postgres scram-sha-256"))
        yield primary, standby
