"""Whether the way to the server is encrypted, and the server the one that is meant."""

from __future__ import annotations

from pgstrata.audit.checks.transport import (
    binding,
    certificates,
    client,
    encryption,
    trust,
    versions,
)

CHECKS = (
    *encryption.CHECKS,
    *versions.CHECKS,
    *trust.CHECKS,
    *binding.CHECKS,
    *certificates.CHECKS,
    *client.CHECKS,
)
