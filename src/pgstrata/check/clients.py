"""Clients: where they are declared to connect from."""

from __future__ import annotations

from collections.abc import Iterator

from pgstrata.check.scope import Found, Project, Rule
from pgstrata.client_addresses import networks
from pgstrata.errors import InvalidConfigError


def invalid(project: Project) -> Iterator[Found]:
    """Find client addresses that are no networks."""
    for config in project.configs:
        try:
            networks(config)
        except InvalidConfigError as error:
            for wrong in error.findings:
                yield Found(config.environment, wrong.message, wrong.origin, "client_addresses")


RULES = (
    Rule(
        "invalid-client-address",
        "error",
        invalid,
        what="An entry of `client_addresses` is neither a network, such as 10.20.0.0/16, nor an"
        " address.",
        why="`recommend` writes no line of pg_hba.conf from it, and `audit` cannot say which line"
        " lets the clients in.",
        remedy="Write the network that the server sees the clients come from, in CIDR notation.",
    ),
)
