"""All checks of an audit, one module a topic."""

from __future__ import annotations

from pgstrata.audit.checks import (
    authentication,
    capacity,
    configuration,
    parity,
    roles,
    sizing,
    timeouts,
    topology,
    transport,
)
from pgstrata.audit.model import Check

CHECKS: tuple[Check, ...] = (
    *capacity.CHECKS,
    *transport.CHECKS,
    *authentication.CHECKS,
    *timeouts.CHECKS,
    *roles.CHECKS,
    *configuration.CHECKS,
    *topology.CHECKS,
    *sizing.CHECKS,
    *parity.CHECKS,
)
