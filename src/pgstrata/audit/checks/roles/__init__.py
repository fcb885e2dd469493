"""Whether the program's role may more than the program needs."""

from __future__ import annotations

from pgstrata.audit.checks.roles import attributes, belongings, schemas

CHECKS = (*attributes.CHECKS, *belongings.CHECKS, *schemas.CHECKS)
