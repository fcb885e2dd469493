"""What the role belongs to, owns and shares."""

from __future__ import annotations

from collections.abc import Iterator

from pgstrata.audit.model import Check, Fix, Outcome
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
    """Find a program that owns its database."""
    owns = view.row("role")["owns_db"]
    fix = Fix(f"ALTER DATABASE {identifier(view.dbname)} OWNER TO …;", "at once")
    yield Outcome(
        "info" if owns else "ok",
        f"role {view.user} {'owns' if owns else 'does not own'} database {view.dbname}",
        object=view.dbname,
        observed="owner" if owns else "no owner",
        expected="a role that nobody logs in as",
        key="connection_settings.user",
        fix=(fix,) if owns else (),
    )


def owns_tables(view: View) -> Iterator[Outcome]:
    """Find a program that owns tables."""
    tables = view.row("owned")["tables"]
    fix = Fix(f"REASSIGN OWNED BY {identifier(view.user)} TO …;", "at once")
    yield Outcome(
        "info" if tables else "ok",
        f"role {view.user} owns {tables} tables",
        object=view.user,
        observed=f"{tables} tables",
        expected="none",
        key="connection_settings.user",
        fix=(fix,) if tables else (),
    )


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
        what="The program's role owns its database.",
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
        what="The program's role owns tables.",
        why="An owner may drop and change them, and row-level security does not hold for it.",
        verify="SELECT relname FROM pg_class WHERE relowner = '…'::regrole AND relkind = 'r';",
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
