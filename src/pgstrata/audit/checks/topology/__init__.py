"""Whether the connections lead to the servers that are meant."""

from __future__ import annotations

from pgstrata.audit.checks.topology import clusters, lag, release, standbys, through

CHECKS = (*standbys.CHECKS, *lag.CHECKS, *clusters.CHECKS, *through.CHECKS, *release.CHECKS)
