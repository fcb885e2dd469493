"""All checks of an audit, one module a topic."""

from __future__ import annotations

from pgstrata.audit.checks import capacity
from pgstrata.audit.model import Check

CHECKS: tuple[Check, ...] = (*capacity.CHECKS,)
