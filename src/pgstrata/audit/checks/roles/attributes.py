"""What the role may by itself and by its memberships."""

from __future__ import annotations

from collections.abc import Iterator

from pgstrata.audit.checks.roles.memberships import revoke, settable
from pgstrata.audit.model import Check, Fix, LookAtOne, Outcome, Row, Status
from pgstrata.audit.remedy import for_role
from pgstrata.audit.view import View
from pgstrata.statements import identifier

_STRONG_UNTIL = 16  # before it, CREATEROLE gave every role that is no superuser to its holder
_VERIFY = "SELECT * FROM pg_roles WHERE pg_has_role('…', oid, 'MEMBER');  -- 'SET' from 16 on"
_SOURCE = "PostgreSQL documentation, CREATE ROLE; Predefined Roles."
_ADMIN = "The roles that it may grant to itself, because it has ADMIN OPTION on them."
_IGNORE = "When the program's work is to administer the server."


def _attribute(
    column: str, option: str, danger: str, status: Status, *, as_member: str = ""
) -> LookAtOne:
    """Return a check of one attribute, of the program's role and of those it may SET ROLE to.

    ``as_member`` is what the attribute gives to who did not log in with it, if that is less.
    """

    def outcome(view: View, message: str, role: str, fix: tuple[Fix, ...] = ()) -> Outcome:
        return Outcome(
            _level(view, column, status) if fix else "ok",
            f"role {view.user} {message}",
            object=role,
            observed=option if fix else f"NO{option}",
            expected=f"NO{option}",
            key="connection_settings.user",
            fix=fix,
        )

    def find(view: View) -> Iterator[Outcome]:
        own = view.row("role")
        if _has(own, column):
            yield outcome(view, danger, view.user, _without(view, column, option))
        if own["rolsuper"]:  # who may SET ROLE to anybody, member or not
            roles = []
        else:
            roles = [name for name, row in settable(view).items() if _has(row, column)]
        for role in roles:
            message = f"may SET ROLE {role}, which {as_member or danger}"
            yield outcome(view, message, role, revoke(view, role))
        if not roles and not _has(own, column):
            yield outcome(view, f"has no {option}", view.user)

    return find


def _has(row: Row, column: str) -> bool:
    """Tell whether a role has an attribute; a superuser's others add nothing."""
    return bool(row[column]) and not (row["rolsuper"] and column != "rolsuper")


def _level(view: View, column: str, status: Status) -> Status:
    if view.client.local:  # it is one's own server
        return "info"
    return "warn" if column == "rolcreaterole" and view.version >= _STRONG_UNTIL else status


def _without(view: View, column: str, option: str) -> tuple[Fix, ...]:
    if column == "rolsuper" and view.user == "postgres":
        name = "app" if view.dbname == "postgres" else view.dbname
        return (Fix(f"CREATE ROLE {identifier(name)} LOGIN;  -- and log in as it", "new sessions"),)
    return (for_role(view, f"NO{option}", column),)


CHECKS = (
    Check(
        "role.super",
        "fail",
        what="The program logs in as a superuser, or may SET ROLE to one.",
        why="Nothing limits it: one injected statement reads and runs anything as the server's own"
        " account. Connection limits and pg_hba.conf's groups do not hold for it either.",
        verify=_VERIFY,
        fix="A role of its own, with no more than the program needs; REVOKE the membership.",
        ignore=_IGNORE,
        cannot_see="What the program needs.",
        source=_SOURCE,
        find=_attribute("rolsuper", "SUPERUSER", "is a superuser", "fail"),
    ),
    Check(
        "role.bypassrls",
        "warn",
        what="The program's role has BYPASSRLS, or may SET ROLE to one that has it.",
        why="Row-level security does not hold for it, on which the separation of tenants may rest.",
        verify=_VERIFY,
        fix="ALTER ROLE … NOBYPASSRLS, or REVOKE the membership.",
        ignore="For a role that makes backups.",
        cannot_see="Whether any table uses row-level security. " + _ADMIN,
        source=_SOURCE,
        find=_attribute("rolbypassrls", "BYPASSRLS", "passes row-level security by", "warn"),
    ),
    Check(
        "role.replication",
        "warn",
        what="The program's role has REPLICATION, or may SET ROLE to one that has it.",
        why="It may copy the whole cluster, and keep the server's disk full by a slot. Who only may"
        " SET ROLE to it makes such slots, and reads the changes of the database through them.",
        verify=_VERIFY,
        fix="ALTER ROLE … NOREPLICATION, or REVOKE the membership.",
        ignore="For a role that replicates.",
        cannot_see="Whether pg_hba.conf lets it replicate. " + _ADMIN,
        source=_SOURCE,
        find=_attribute(
            "rolreplication",
            "REPLICATION",
            "may copy the whole cluster",
            "warn",
            as_member="makes replication slots, and reads changes through them",
        ),
    ),
    Check(
        "role.createrole",
        "fail",
        what="The program's role has CREATEROLE, or may SET ROLE to one that has it. A warning from"
        " PostgreSQL 16 on.",
        why="Before 16 it gives itself any role that is no superuser, the predefined ones too.",
        verify=_VERIFY,
        fix="ALTER ROLE … NOCREATEROLE, or REVOKE the membership.",
        ignore=_IGNORE,
        cannot_see=_ADMIN,
        source="PostgreSQL 16 release notes; " + _SOURCE,
        find=_attribute("rolcreaterole", "CREATEROLE", "makes and changes roles", "fail"),
    ),
    Check(
        "role.createdb",
        "info",
        what="The program's role has CREATEDB, or may SET ROLE to one that has it.",
        why="It may fill the server with databases, and copy those that are templates.",
        verify=_VERIFY,
        fix="ALTER ROLE … NOCREATEDB, or REVOKE the membership.",
        ignore="For tests that make databases of their own.",
        cannot_see=_ADMIN,
        source=_SOURCE,
        find=_attribute("rolcreatedb", "CREATEDB", "makes databases", "info"),
    ),
)
