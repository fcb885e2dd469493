"""What would mend a finding, at the narrowest scope that does. Printed, and never run."""

from __future__ import annotations

from pgstrata.audit.model import Applies, Fix
from pgstrata.audit.view import View
from pgstrata.statements import identifier, literal, role_setting

_APPLIES: dict[str, Applies] = {
    "internal": "restart",
    "postmaster": "restart",
    "sighup": "reload",
    "backend": "new sessions",
    "superuser-backend": "new sessions",
    "superuser": "reload",
    "user": "reload",
}
_RELOAD = " SELECT pg_reload_conf();"
_PROVIDERS = {
    "rds.": "the instance's parameter group",
    "azure.": "the server parameters of the Azure portal",
    "cloudsql.": "the flags of the Cloud SQL instance",
}


def for_program(view: View, name: str, value: str) -> Fix:
    """Give a parameter to the program's role in its database, and to nobody else."""
    statement = role_setting(view.user, view.dbname, name, value)
    return Fix(statement, "new sessions", f"SHOW {name};  -- as {view.user}")


def for_role(view: View, option: str, verify: str) -> Fix:
    """Change an attribute of the program's role."""
    verify = f"SELECT {verify} FROM pg_roles WHERE rolname = {literal(view.user)};"  # noqa: S608  # is printed, never run
    return Fix(f"ALTER ROLE {identifier(view.user)} {option};", "new sessions", verify)


def for_server(view: View, name: str, value: str) -> tuple[Fix, ...]:
    """Give a parameter to the whole server, by whatever way this server's files are written.

    Raises ``UnreadError`` where the parameter cannot be seen.
    """
    row = view.setting(name)
    applies = _APPLIES[row["context"]]
    verify = f"SHOW {name};"
    if row["source"] in ("command line", "environment variable"):
        where = f"{row['source']} of the server's own start: ALTER SYSTEM has no effect"
        return (Fix(f"{name} = {value}  -- in the {where}", "restart", verify),)
    if provider := managed_by(view):
        return (Fix(f"{name} = {value}  -- in {provider}", applies, verify),)
    if view.settings.get("allow_alter_system", {}).get("setting") == "off":
        place = f"{row['sourcefile']}:{row['sourceline']}" if row["sourcefile"] else "its files"
        return (Fix(f"{name} = {value}  -- in {place}", applies, verify),)
    statement = f"ALTER SYSTEM SET {name} = {literal(value)};"
    return (Fix(statement + (_RELOAD if applies == "reload" else ""), applies, verify),)


def for_client(view: View, line: str, verify: str = "") -> Fix:
    """Change a line of the client's own files."""
    where = f"environments/{view.client.environment}.yaml"
    return Fix(f"{line}  # in {where}", "new sessions", verify)


def managed_by(view: View) -> str:
    """Return where a provider has its servers' parameters changed, or nothing. Raises
    ``UnreadError``.
    """
    for prefix, place in _PROVIDERS.items():
        if any(name.startswith(prefix) for name in view.settings):
            return place
    return ""
