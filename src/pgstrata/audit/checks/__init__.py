"""All checks of an audit, one module a topic."""

from __future__ import annotations

from pgstrata.audit.model import Check

CHECKS: tuple[Check, ...] = ()
