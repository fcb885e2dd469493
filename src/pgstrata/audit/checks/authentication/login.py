"""What else stands between a role and its database, before and after pg_hba.conf."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from pgstrata.audit.model import Check, Fix, Outcome, Row, Status
from pgstrata.audit.reading import moment
from pgstrata.audit.view import View
from pgstrata.statements import identifier, literal

_SOON, _NEAR = dt.timedelta(days=7), dt.timedelta(days=30)
_KEY = "connection_settings.user"


def chain(view: View) -> Iterator[Outcome]:
    """Follow a login of the program to its end."""
    if view.user not in {row["rolname"] for row in view.rows("roles")}:
        yield _broken(view, "there is no such role", f"CREATE ROLE {identifier(view.user)} LOGIN;")
        return
    row = view.row("role")
    name, database = identifier(view.user), identifier(view.dbname)
    found = []
    if not row["rolcanlogin"]:
        found.append(_broken(view, "it may not log in", f"ALTER ROLE {name} LOGIN;"))
    if not row["can_connect"]:
        grant = f"GRANT CONNECT ON DATABASE {database} TO {name};"
        found.append(_broken(view, f"it may not connect to {view.dbname}", grant))
    if not row["datallowconn"]:
        allow = f"ALTER DATABASE {database} ALLOW_CONNECTIONS true;"
        found.append(_broken(view, f"{view.dbname} takes no connections", allow))
    found += _ending(view, row)
    yield from found or [Outcome("ok", f"role {view.user} may log in to {view.dbname}")]


def _broken(view: View, why: str, statement: str) -> Outcome:
    verify = f"SELECT * FROM pg_roles WHERE rolname = {literal(view.user)};"  # noqa: S608  # is printed, never run
    return Outcome(
        "fail",
        f"role {view.user} cannot use the database: {why}",
        object=why,
        observed=why,
        expected="a login that works",
        key=_KEY,
        fix=(Fix(statement, "at once", verify),),
    )


def _ending(view: View, row: Row) -> Iterator[Outcome]:
    until = row["rolvaliduntil"]
    if not until or until == "infinity":
        return
    left = moment(until) - view.now
    status: Status = "fail" if left < _SOON else "warn" if left < _NEAR else "ok"
    words = "ended" if left < dt.timedelta(0) else f"ends in {left.days} days"
    statement = f"ALTER ROLE {identifier(view.user)} VALID UNTIL 'infinity';"
    yield Outcome(
        status,
        f"the password of {view.user} {words}: {until[:10]}",
        object="valid until",
        observed=until,
        expected=f"{_NEAR.days} days at least",
        key=_KEY,
        fix=() if status == "ok" else (Fix(statement, "at once"),),
    )


CHECKS = (
    Check(
        "auth.login_chain",
        "fail",
        what="Whether the role exists, may log in and connect to its database, the database takes"
        " connections, and its password is valid for 7 days at least; a warning below 30.",
        why="Each of them ends a login after pg_hba.conf has let it in, with a message of its own.",
        verify="SELECT rolcanlogin, rolvaliduntil FROM pg_roles; SELECT datallowconn FROM"
        " pg_database;",
        fix="The statement that is printed.",
        ignore="For a role that is retired on that day.",
        cannot_see="Login event triggers.",
        source="PostgreSQL documentation, CREATE ROLE; GRANT; pg_database.",
        find=chain,
    ),
)
