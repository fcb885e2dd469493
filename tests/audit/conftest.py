"""Clients of real servers, and what an audit sees of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests import versions
from tests.servers import PASSWORD, Server

from pgstrata.audit.facts import role_sql
from pgstrata.audit.gather import Endpoint, endpoints
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
