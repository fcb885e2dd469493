"""A pooler that the configuration does not speak of."""

from __future__ import annotations

import logging

from pgstrata.connect.plan import Plan

logger = logging.getLogger("pgstrata.connect")

PID = "SELECT pg_catalog.pg_backend_pid()"


def suspects(plan: Plan) -> bool:
    """Tell whether a pooler would be a surprise."""
    return plan.conninfo.pooler is None and plan.conninfo.local is None


def warn_of_pooler(plan: Plan, greeted: int, row: tuple[int, ...] | None) -> None:
    """Warn where another process answers than the one that greeted the client: what stands between
    may change servers from one transaction to the next, and then loses prepared statements.

    ``greeted`` is from the greeting's key data, ``row`` the answer to ``PID``.
    """
    if row is not None and row[0] != greeted:
        logger.warning(
            "%s goes through a pooler that the configuration does not name: say pooler: transaction"
            " or pooler: session, so that prepared statements and session settings are safe",
            plan.name,
        )
