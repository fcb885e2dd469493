"""Which roles the program may act as by its memberships, and what takes that from it."""

from __future__ import annotations

from pgstrata.audit.model import Fix, Row
from pgstrata.audit.view import View
from pgstrata.statements import identifier, literal

_SET_SINCE = 16  # before it, every member may SET ROLE


def settable(view: View) -> dict[str, Row]:
    """Return the roles that the program may SET ROLE to, by name, with their attributes. Raises
    ``UnreadError``.
    """
    return {row["role"]: row for row in view.rows("reachable_roles") if row["settable"]}


def revoke(view: View, role: str) -> tuple[Fix, ...]:
    """Take from the program each of its own memberships that leads to a role. Raises
    ``UnreadError``.
    """
    kind = "SET" if view.version >= _SET_SINCE else "MEMBER"
    verify = f"SELECT pg_has_role({literal(view.user)}, {literal(role)}, '{kind}');"
    return tuple(
        Fix(f"REVOKE {identifier(row['via'])} FROM {identifier(view.user)};", "at once", verify)
        for row in view.rows("reachable_roles")
        if row["role"] == role
    )
