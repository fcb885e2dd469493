"""Whether environments that are meant to behave alike do."""

from __future__ import annotations

from pgstrata.audit.checks.parity import collations, databases, parameters

CHECKS = (*databases.CHECKS, *collations.CHECKS, *parameters.CHECKS)
