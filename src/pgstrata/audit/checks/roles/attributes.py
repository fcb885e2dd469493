"""What the role may by itself and by its memberships."""

from __future__ import annotations

from collections.abc import Iterator

from pgstrata.audit.model import Check, Fix, LookAtOne, Outcome, Status
from pgstrata.audit.remedy import for_role
from pgstrata.audit.view import View
from pgstrata.statements import identifier

_STRONG_UNTIL = 16  # before it, CREATEROLE gave every role that is no superuser to its holder
_VERIFY = "SELECT * FROM pg_roles WHERE rolname = '…';"
_SOURCE = "PostgreSQL documentation, CREATE ROLE; Predefined Roles."
_IGNORE = "When the program's work is to administer the server."


def _attribute(column: str, option: str, danger: str, status: Status) -> LookAtOne:
    """Return a check of one attribute of the role."""

    def find(view: View) -> Iterator[Outcome]:
        row = view.row("role")
        has = bool(row[column]) and not (row["rolsuper"] and column != "rolsuper")
        level = "warn" if column == "rolcreaterole" and view.version >= _STRONG_UNTIL else status
        level = "info" if view.client.local else level  # it is one's own server
        yield Outcome(
            level if has else "ok",
            f"role {view.user} {danger}" if has else f"role {view.user} has no {option}",
            object=view.user,
            observed=option if has else f"NO{option}",
            expected=f"NO{option}",
            key="connection_settings.user",
            fix=_without(view, column, option) if has else (),
        )

    return find


def _without(view: View, column: str, option: str) -> tuple[Fix, ...]:
    if column == "rolsuper" and view.user == "postgres":
        name = "app" if view.dbname == "postgres" else view.dbname
        return (Fix(f"CREATE ROLE {identifier(name)} LOGIN;  -- and log in as it", "new sessions"),)
    return (for_role(view, f"NO{option}", column),)


CHECKS = (
    Check(
        "role.super",
        "fail",
        what="The program logs in as a superuser.",
        why="Nothing limits it: one injected statement reads and runs anything as the server's own"
        " account. Connection limits and pg_hba.conf's groups do not hold for it either.",
        verify=_VERIFY,
        fix="A role of its own, with no more than the program needs.",
        ignore=_IGNORE,
        cannot_see="What the program needs.",
        source=_SOURCE,
        find=_attribute("rolsuper", "SUPERUSER", "is a superuser", "fail"),
    ),
    Check(
        "role.bypassrls",
        "warn",
        what="The program's role has BYPASSRLS.",
        why="Row-level security does not hold for it, on which the separation of tenants may rest.",
        verify=_VERIFY,
        fix="ALTER ROLE … NOBYPASSRLS.",
        ignore="For a role that makes backups.",
        cannot_see="Whether any table uses row-level security.",
        source=_SOURCE,
        find=_attribute("rolbypassrls", "BYPASSRLS", "passes row-level security by", "warn"),
    ),
    Check(
        "role.replication",
        "warn",
        what="The program's role has REPLICATION.",
        why="It may copy the whole cluster, and keep the server's disk full by a slot.",
        verify=_VERIFY,
        fix="ALTER ROLE … NOREPLICATION.",
        ignore="For a role that replicates.",
        cannot_see="Whether pg_hba.conf lets it replicate.",
        source=_SOURCE,
        find=_attribute("rolreplication", "REPLICATION", "may copy the whole cluster", "warn"),
    ),
    Check(
        "role.createrole",
        "fail",
        what="The program's role has CREATEROLE. A warning from PostgreSQL 16 on.",
        why="Before 16 it gives itself any role that is no superuser, the predefined ones too.",
        verify=_VERIFY,
        fix="ALTER ROLE … NOCREATEROLE.",
        ignore=_IGNORE,
        cannot_see="Nothing.",
        source="PostgreSQL 16 release notes; " + _SOURCE,
        find=_attribute("rolcreaterole", "CREATEROLE", "makes and changes roles", "fail"),
    ),
    Check(
        "role.createdb",
        "info",
        what="The program's role has CREATEDB.",
        why="It may fill the server with databases, and copy those that are templates.",
        verify=_VERIFY,
        fix="ALTER ROLE … NOCREATEDB.",
        ignore="For tests that make databases of their own.",
        cannot_see="Nothing.",
        source=_SOURCE,
        find=_attribute("rolcreatedb", "CREATEDB", "makes databases", "info"),
    ),
)
