"""Whether the server has room for all the connections that the declared services may open."""

from __future__ import annotations

from pgstrata.audit.checks.capacity import limits, load, slots, use

CHECKS = (*slots.CHECKS, *limits.CHECKS, *load.CHECKS, *use.CHECKS)
