"""What the role belongs to, owns and shares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pgstrata.audit.checks.roles.memberships import revoke, settable
from pgstrata.audit.model import Check, Fix, Outcome, Row
from pgstrata.audit.view import View
from pgstrata.statements import identifier, literal

_PREDEFINED = {
    "pg_execute_server_program": "runs programs as the server's own account",
    "pg_write_server_files": "writes any file that the server's account may write",
    "pg_read_server_files": "reads any file that the server's account may read",
    "pg_signal_backend": "ends the sessions of other roles",
}


def predefined(view: View) -> Iterator[Outcome]:
    """Find memberships that are as good as being the server's account."""
    held = [row["role"] for row in view.rows("memberships") if row["role"] in _PREDEFINED]
    for role in held:
        fix = Fix(
            f"REVOKE {role} FROM {identifier(view.user)};",
            "at once",
            f"SELECT pg_has_role({literal(view.user)}, '{role}', 'MEMBER');",
        )
        yield Outcome(
            "fail",
            f"role {view.user} is a member of {role}: it {_PREDEFINED[role]}",
            object=role,
            observed="member",
            expected="no member",
            key="connection_settings.user",
            fix=(fix,),
        )
    if not held:
        yield Outcome("ok", f"role {view.user} is in no role that reaches beyond the database")


def owns_db(view: View) -> Iterator[Outcome]:
    """Find a program that owns its database, or is a member of who does."""
    said = Outcome(
        "ok",
        f"role {view.user} does not own database {view.dbname}",
        object=view.dbname,
        observed="no owner",
        expected="a role that nobody logs in as",
        key="connection_settings.user",
    )
    for owner in [row["owner"] for row in _owned(view) if row["of_database"]]:
        message = _says(view, owner, f"owns database {view.dbname}")
        fix = Fix(f"ALTER DATABASE {identifier(view.dbname)} OWNER TO …;", "at once")
        fixes = _fixes(view, owner, fix)
        said = replace(said, status="info", message=message, observed="owner", fix=fixes)
    yield said


def owns_tables(view: View) -> Iterator[Outcome]:
    """Find a program that owns tables, or is a member of who does."""
    none = Outcome(
        "ok",
        f"role {view.user} owns 0 tables",
        object=view.user,
        observed="0 tables",
        expected="none",
        key="connection_settings.user",
    )
    owning = [(row["owner"], f"{row['tables']} tables") for row in _owned(view) if row["tables"]]
    for owner, seen in owning:
        message = _says(view, owner, f"owns {seen}")
        fixes = _fixes(view, owner, Fix(f"REASSIGN OWNED BY {identifier(owner)} TO …;", "at once"))
        found = replace(none, status="info", message=message, object=owner, observed=seen)
        yield replace(found, fix=fixes)
    if not owning:
        yield none


def _owned(view: View) -> list[Row]:
    """Return the owners that the program is, has the rights of, or may SET ROLE to. Raises
    ``UnreadError``.
    """
    view.row("role")  # where there is no such role, nothing is known of what it owns
    may_become = settable(view)
    rows = view.rows("owners")
    return [row for row in rows if row["has_rights"] or row["owner"] in may_become]


def _says(view: View, owner: str, what: str) -> str:
    member = "" if owner == view.user else f"is a member of {owner}, which "
    return f"role {view.user} {member}{what}"


def _fixes(view: View, owner: str, own: Fix) -> tuple[Fix, ...]:
    """Return what ends an ownership: where it is by membership, the membership ends."""
    return (owner != view.user and revoke(view, owner)) or (own,)


def shared(view: View) -> Iterator[Outcome]:
    """Find services that log in as one role."""
    services = [demand.service for demand in view.own_demands if demand.role in (view.user, "")]
    several = len(services) > 1
    yield Outcome(
        "info" if several else "ok",
        f"{view.user} is the role of {', '.join(services) or 'no service'}",
        object=view.user,
        observed=f"{len(services)} services",
        expected="one",
        key="services",
    )


CHECKS = (
    Check(
        "role.predefined",
        "fail",
        what="The program's role is a member of pg_execute_server_program, pg_write_server_files,"
        " pg_read_server_files or pg_signal_backend.",
        why="The first two are as good as a superuser: they run programs and write files as the"
        " server's own account.",
        verify="SELECT roleid::regrole FROM pg_auth_members WHERE member = '…'::regrole;",
        fix="REVOKE it; COPY … FROM STDIN needs none of them.",
        ignore="When the program's work is to administer the server.",
        cannot_see="Functions with SECURITY DEFINER that give the same.",
        source="PostgreSQL documentation, Predefined Roles.",
        find=predefined,
    ),
    Check(
        "role.owns_db",
        "info",
        what="The program's role owns its database, by itself or by a membership.",
        why="It may drop it, and change its settings for everybody.",
        verify="SELECT datname, datdba::regrole FROM pg_database;",
        fix="An owner that nobody logs in as; the program gets what it needs.",
        ignore="When the program migrates its own schema.",
        cannot_see="Nothing.",
        source="PostgreSQL documentation, Privileges: the owner of an object.",
        find=owns_db,
    ),
    Check(
        "role.owns_tables",
        "info",
        what="The program's role owns tables, by itself or by a membership.",
        why="An owner may drop and change them, and row-level security does not hold for it. A"
        " member of an owner has its rights, or takes them with SET ROLE.",
        verify="SELECT relname, relowner::regrole FROM pg_class WHERE relkind = 'r'"
        " AND pg_has_role('…', relowner, 'MEMBER');",
        fix="An owner that only migrations use.",
        ignore="When the program migrates its own schema.",
        cannot_see="Tables in other databases.",
        source="PostgreSQL documentation, Privileges; Row Security Policies.",
        find=owns_tables,
    ),
    Check(
        "role.shared",
        "info",
        what="Several of the declared services log in as one role.",
        why="None of them can be limited, locked out or given a new password alone, and the log"
        " does not tell them apart.",
        verify="SELECT usename, application_name, count(*) FROM pg_stat_activity GROUP BY 1, 2;",
        fix="A role for each service.",
        ignore="When they are one program in several processes.",
        cannot_see="Programs that are not declared.",
        source="PostgreSQL documentation, Database Roles.",
        find=shared,
    ),
)
