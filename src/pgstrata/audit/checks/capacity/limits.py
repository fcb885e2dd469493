"""Limits of a role, a database and a pooler."""

from __future__ import annotations

from collections.abc import Iterator

from pgstrata.audit.checks.capacity.slots import free_slots, on_standbys_first
from pgstrata.audit.checks.pooled import arriving, behind_pooler
from pgstrata.audit.model import Check, Fix, Outcome
from pgstrata.audit.remedy import for_role
from pgstrata.audit.view import View
from pgstrata.capacity import with_spare
from pgstrata.statements import identifier, literal


def role_limit(view: View) -> Iterator[Outcome]:
    """Compare what the services open as this role with its limit."""
    row = view.row("role")
    limit = row["rolconnlimit"]
    if limit < 0 or row["rolsuper"]:
        yield Outcome("ok", f"role {view.user} has no limit")
        return
    wanted = sum(demand.most for demand in view.demands if demand.role in (view.user, ""))
    wanted = arriving(view, wanted, limit)
    fix = for_role(view, f"CONNECTION LIMIT {with_spare(wanted)}", "rolconnlimit")
    yield Outcome(
        "fail" if wanted > limit else "ok",
        f"{_who(view)} may open {wanted} connections as {view.user}, whose limit is {limit}",
        object=view.user,
        observed=str(limit),
        expected=f"{wanted} at least",
        key=_key(view),
        fix=(fix,) if wanted > limit else (),
        evidence=(f"rolconnlimit = {limit}",),
    )


def db_limit(view: View) -> Iterator[Outcome]:
    """Compare what the services open to this database with its limit."""
    limit = view.row("role")["datconnlimit"]
    if limit < 0:
        yield Outcome("ok", f"database {view.dbname} has no limit")
        return
    wanted = sum(demand.most for demand in view.demands if demand.dbname in (view.dbname, ""))
    wanted = arriving(view, wanted, limit)
    name = identifier(view.dbname)
    fix = Fix(
        f"ALTER DATABASE {name} CONNECTION LIMIT {with_spare(wanted)};",
        "new sessions",
        f"SELECT datconnlimit FROM pg_database WHERE datname = {literal(view.dbname)};",  # noqa: S608  # is printed, never run
    )
    yield Outcome(
        "fail" if wanted > limit else "ok",
        f"{_who(view)} may open {wanted} connections to {view.dbname}, whose limit is {limit}",
        object=view.dbname,
        observed=str(limit),
        expected=f"{wanted} at least",
        key=_key(view),
        fix=(fix,) if wanted > limit else (),
        evidence=(f"datconnlimit = {limit}",),
    )


def _who(view: View) -> str:
    return "the pooler" if behind_pooler(view) else "the services"


def _key(view: View) -> str:
    return "server.pooler_connections" if behind_pooler(view) else "services"


def pooler(view: View) -> Iterator[Outcome]:
    """Compare both ends of a pooler with what they meet."""
    if not behind_pooler(view):
        return
    clients, inside = view.declared("pooler_clients"), view.declared("pooler_connections")
    yield _compared("clients of the pooler", view.demand, clients, "server.pooler_clients")
    yield _compared("slots of the server", inside, free_slots(view), "server.pooler_connections")


def _compared(what: str, wanted: int, there: int, key: str) -> Outcome:
    short = wanted > there
    raised = "max_client_conn" if key == "server.pooler_clients" else "max_connections"
    most = with_spare(wanted)
    first = (on_standbys_first(most),) if raised == "max_connections" else ()
    fix = Fix(f"{raised}: {most} at least, or smaller pools", "restart")
    return Outcome(
        "fail" if short else "ok",
        f"{wanted} connections for {there} {what}",
        object=what,
        observed=str(there),
        expected=f"{wanted} at least",
        key=key,
        fix=(*first, fix) if short else (),
    )


CHECKS = (
    Check(
        "cap.role_limit",
        "fail",
        what="What the services open as one role, at their largest, against the CONNECTION LIMIT"
        " of the role. A superuser has none. Behind a pooler no more reach the server than"
        " `server.pooler_connections`.",
        why="The role is refused while the server has room: `too many connections for role`.",
        verify="SELECT rolname, rolconnlimit FROM pg_roles;",
        fix="ALTER ROLE … CONNECTION LIMIT, or smaller pools.",
        ignore="When the limit is there to keep a program small.",
        cannot_see="Other programs that log in as the same role and are not declared.",
        source="PostgreSQL documentation, CREATE ROLE: CONNECTION LIMIT.",
        find=role_limit,
    ),
    Check(
        "cap.db_limit",
        "fail",
        what="What all services open to one database, at their largest, against the CONNECTION"
        " LIMIT of the database. Behind a pooler no more reach it than"
        " `server.pooler_connections`.",
        why="Sessions are refused while the server has room: `too many connections for database`.",
        verify="SELECT datname, datconnlimit FROM pg_database;",
        fix="ALTER DATABASE … CONNECTION LIMIT, or smaller pools.",
        ignore="When the limit is there to keep programs small.",
        cannot_see="Programs that are not declared.",
        source="PostgreSQL documentation, CREATE DATABASE: CONNECTION LIMIT.",
        find=db_limit,
    ),
    Check(
        "cap.pooler",
        "fail",
        what="Behind a pooler: the services against `server.pooler_clients`, and"
        " `server.pooler_connections` against the slots of the server.",
        why="A full pooler refuses as a full server does, and a pooler that may open more than the"
        " server admits hands the refusal on.",
        verify="SHOW CONFIG; SHOW DATABASES;  -- on the pooler's admin console",
        fix="A larger max_client_conn, or smaller pools.",
        ignore="When the pooler serves other programs too, and somebody watches it.",
        cannot_see="The pooler's own configuration, unless it is declared.",
        source="PgBouncer documentation: max_client_conn, default_pool_size, reserve_pool_size.",
        find=pooler,
    ),
)
