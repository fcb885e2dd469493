"""What is wrong in the server's files, and where a change of them has no effect."""

from __future__ import annotations

from collections.abc import Iterator

from pgstrata.audit.model import Check, Fix, Outcome, Row
from pgstrata.audit.remedy import managed_by
from pgstrata.audit.view import View

# The server's words for what only a restart brings, and for a value that it does not understand.
_NOT_APPLIED = "setting could not be applied"
# Where its files and its sockets are has to be said to a server from outside.
_PLACES = (
    *("config_file", "data_directory", "hba_file", "ident_file", "external_pid_file"),
    *("port", "listen_addresses", "unix_socket_directories", "cluster_name"),
)


def file_errors(view: View) -> Iterator[Outcome]:
    """Find lines of postgresql.conf that the server cannot read or apply."""
    wrong = [row for row in view.rows("file_settings") if not _waits(view, row)]
    for row in wrong:
        where = f"{row['sourcefile']}:{row['sourceline']}"
        yield Outcome(
            "fail",
            f"{where}: {row['name'] or 'a line'}: {row['error']}: the server does not start again",
            object=row["name"] or where,
            observed=str(row["error"]),
            expected="a line that the server can read",
            fix=(_corrected(row, where),),
            evidence=(where,),
        )
    if not wrong:
        yield Outcome("ok", "the server can read its files")


def _waits(view: View, row: Row) -> bool:
    """Tell whether a line is right and only waits for a restart."""
    there = view.settings.get(row["name"] or "", {})
    return row["error"] == _NOT_APPLIED and bool(there.get("pending_restart"))


def _corrected(row: Row, where: str) -> Fix:
    return Fix(
        f"-- correct {row['name'] or 'the line'} in {where}; then SELECT pg_reload_conf();",
        "reload",
        "SELECT sourcefile, sourceline, name, error FROM pg_file_settings WHERE error IS NOT NULL;",
    )


def source(view: View) -> Iterator[Outcome]:
    """Find parameters that ALTER SYSTEM cannot change here."""
    rows = view.rows("settings")
    fixed = [r for r in rows if r["source"] in ("command line", "environment variable")]
    names = [row["name"] for row in fixed if row["name"] not in _PLACES]
    if names:
        yield Outcome(
            "info",
            f"the server's own start gives it {', '.join(names)}: ALTER SYSTEM has no effect on"
            " them",
            object="command line",
            observed=", ".join(
                f"{r['name']} = {r['setting']}" for r in fixed if r["name"] in names
            ),
            expected="set in the files",
        )
    if view.has("allow_alter_system") and not view.server("allow_alter_system").value:
        yield Outcome("info", "ALTER SYSTEM is switched off here", object="allow_alter_system")
    elif place := managed_by(view):
        yield Outcome("info", f"settings are changed in {place}", object="provider")
    elif not names:
        yield Outcome("ok", "ALTER SYSTEM changes what it says")


CHECKS = (
    Check(
        "conf.file_errors",
        "fail",
        what="Lines of postgresql.conf and what it includes that cannot be read or applied.",
        why="The server runs on with what it had, and its next restart fails. A line that is no"
        " setting at all keeps a reload from changing anything.",
        verify="SELECT sourcefile, sourceline, name, error FROM pg_file_settings WHERE error IS"
        " NOT NULL;",
        fix="Correct the line that is named.",
        ignore="Never.",
        cannot_see="Values that are only tried at a restart, such as memory that is not there.",
        source="PostgreSQL documentation, pg_file_settings.",
        find=file_errors,
    ),
    Check(
        "conf.source",
        "info",
        what="Parameters from the server's command line or environment, ALTER SYSTEM switched off,"
        " and servers of a provider.",
        why="A fix that is typed as ALTER SYSTEM looks as if it worked, and does nothing.",
        verify="SELECT name, setting FROM pg_settings WHERE source IN ('command line',"
        " 'environment variable');",
        fix="Change it where the server is started: the container, Patroni, the provider's form.",
        ignore="When everybody knows.",
        cannot_see="What writes the command line.",
        source="PostgreSQL documentation, Setting Parameters; allow_alter_system.",
        find=source,
    ),
)
