"""The libraries that sort: over two environments, and against what indexes were built with."""

from __future__ import annotations

from collections.abc import Iterator

from pgstrata.audit.checks.parity.pairs import against_model, named
from pgstrata.audit.model import Check, Fix, Outcome
from pgstrata.audit.view import View
from pgstrata.statements import identifier


def collation(view: View, model: View) -> Iterator[Outcome]:
    """Compare the versions of the library behind the databases' own collation."""
    here, there = (str(v.row("db_collation")["actual"] or "none") for v in (view, model))
    yield Outcome(
        "ok" if here == there else "warn",
        f"collation library {named(view, here)}, {named(model, there)}",
        object=model.client.environment,
        observed=here,
        expected=there,
    )


def stale(view: View) -> Iterator[Outcome]:
    """Compare the library with the version that indexes were built with."""
    database = identifier(view.dbname)
    found = []
    if view.version >= 15:  # noqa: PLR2004  # the first that keeps a version for the database
        row = view.row("db_collation")
        if row["datcollversion"] != row["actual"]:
            change = f"ALTER DATABASE {database} REFRESH COLLATION VERSION;"
            found.append(
                _stale(view.dbname, row["datcollversion"], row["actual"], change, database)
            )
    for row in view.rows("collations"):
        change = f"ALTER COLLATION {identifier(row['collname'])} REFRESH VERSION;"
        found.append(_stale(row["collname"], row["collversion"], row["actual"], change, database))
    yield from found or [Outcome("ok", "the indexes were built with the library that is there")]


def _stale(name: str, before: str, now: str, refresh: str, database: str) -> Outcome:
    return Outcome(
        "fail",
        f"indexes that use collation {name} were built with version {before} of its library, and"
        f" {now} is installed: they may miss rows",
        object=name,
        observed=str(now),
        expected=str(before),
        fix=(
            Fix(f"REINDEX DATABASE CONCURRENTLY {database};  -- first", "at once"),
            Fix(f"{refresh}  -- only then", "at once"),
        ),
    )


CHECKS = (
    Check(
        "par.collation",
        "warn",
        what="The version of the collation library under the two databases. PostgreSQL 15 and"
        " newer.",
        why="The same rows come in another order, and an index that is copied between them as a"
        " file is corrupt.",
        verify="SELECT pg_database_collation_actual_version(oid) FROM pg_database WHERE datname ="
        " current_database();",
        fix="The same release of the operating system, or the C collation.",
        ignore="When files are never copied between them.",
        cannot_see="Collations of single columns.",
        source="PostgreSQL documentation, Collation Support.",
        compare=against_model(collation),
    ),
    Check(
        "par.collation_stale",
        "fail",
        what="Collations whose library has another version than the one that is written down for"
        " them.",
        why="The operating system was upgraded under the data: indexes on text are in the old order"
        " and do not find all rows.",
        verify="SELECT collname, collversion, pg_collation_actual_version(oid) FROM pg_collation;",
        fix="REINDEX first, then REFRESH VERSION: the other way round only hides it.",
        ignore="Never.",
        cannot_see="Providers that tell no version, such as C.",
        source="PostgreSQL documentation, ALTER COLLATION: REFRESH VERSION.",
        find=stale,
    ),
)
