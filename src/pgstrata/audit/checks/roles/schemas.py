"""Where the role's unqualified names lead, and who may put something there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pgstrata.audit.model import Check, Fix, Outcome
from pgstrata.audit.remedy import for_program
from pgstrata.audit.view import View
from pgstrata.statements import identifier, literal

_ELEMENT = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^",]+))\s*(?:,|$)')


def public_create(view: View) -> Iterator[Outcome]:
    """Find schemas in which anybody may create objects."""
    open_to_all = [row["nspname"] for row in view.rows("public_schema") if row["public_can_create"]]
    for schema in open_to_all:
        fix = Fix(
            f"REVOKE CREATE ON SCHEMA {identifier(schema)} FROM PUBLIC;",
            "at once",
            f"SELECT nspacl FROM pg_namespace WHERE nspname = {literal(schema)};",  # noqa: S608  # is printed, never run
        )
        yield Outcome(
            "warn",
            f"anybody who may connect to {view.dbname} may create objects in schema {schema}",
            object=schema,
            observed="PUBLIC has CREATE",
            expected="PUBLIC has no CREATE",
            fix=(fix,),
        )
    if not open_to_all:
        yield Outcome("ok", "no schema is open to everybody's objects")


def search_path(view: View) -> Iterator[Outcome]:
    """Find a path whose schemas do not exist as written, or that others may write to first."""
    said = view.session("search_path")
    path = elements(said.text)
    open_to_all = {r["nspname"] for r in view.rows("public_schema") if r["public_can_create"]}
    for schema in path:
        if "," in schema:
            names = ", ".join(identifier(part.strip()) for part in schema.split(","))
            statement = for_program(view, "search_path", names)
            plain = statement.statement.replace(f"= {literal(names)}", f"= {names}")
            yield Outcome(
                "warn",
                f"{schema!r} is the name of one schema, not of {schema.count(',') + 1}: the list"
                " stands in quotes",
                object=schema,
                observed=said.text,
                expected=names,
                key="session_settings.search_path",
                fix=(Fix(plain, statement.applies, statement.verify),),
                evidence=(str(said),),
            )
        elif schema in open_to_all and schema != path[-1]:
            yield _ahead(schema, str(said))
    if not any("," in schema or schema in open_to_all for schema in path[:-1] + path[-1:]):
        yield Outcome("ok", f"search_path is {said.text}", evidence=(str(said),))


def _ahead(schema: str, evidence: str) -> Outcome:
    fix = Fix(f"REVOKE CREATE ON SCHEMA {identifier(schema)} FROM PUBLIC;", "at once")
    return Outcome(
        "warn",
        f"anybody may create objects in {schema}, which is searched before others: their table or"
        " function may be taken for the program's own",
        object=schema,
        observed="PUBLIC has CREATE",
        expected="PUBLIC has no CREATE",
        key="session_settings.search_path",
        fix=(fix,),
        evidence=(evidence,),
    )


def elements(text: str) -> list[str]:
    """Return the names in a search_path, as PostgreSQL reads them: quotes keep case and commas."""
    found = (match for match in _ELEMENT.finditer(text))
    return [
        quoted.replace('""', '"') if quoted else plain.strip().lower()
        for quoted, plain in (match.groups(default="") for match in found)
        if quoted or plain.strip()
    ]


CHECKS = (
    Check(
        "role.public_create",
        "warn",
        what="A schema in which PUBLIC has CREATE; `public` has it in clusters that were made"
        " before PostgreSQL 15.",
        why="Anybody who may connect can put a function or an operator there that others call by"
        " mistake. pg_upgrade keeps the old privilege.",
        verify="SELECT nspname, nspacl FROM pg_namespace;",
        fix="REVOKE CREATE ON SCHEMA … FROM PUBLIC, and GRANT it to who needs it.",
        ignore="In a database that only one role may connect to.",
        cannot_see="Nothing.",
        source="PostgreSQL documentation, Schemas: Usage Patterns; PostgreSQL 15 release notes.",
        find=public_create,
    ),
    Check(
        "role.search_path",
        "warn",
        what="The search_path of the program's session: a list that was quoted as one name, and"
        " schemas before the last that everybody may write to.",
        why="`SET search_path = 'app,public'` names one schema that does not exist; a table that"
        " somebody else puts into an earlier schema is found first.",
        verify="SHOW search_path;  -- as the program's role",
        fix="ALTER ROLE … IN DATABASE … SET search_path = app, public, without quotes.",
        ignore="Never for the quotes; when only trusted roles may connect for the rest.",
        cannot_see="What functions and transactions set for themselves.",
        source="PostgreSQL documentation, Schemas: The Schema Search Path.",
        find=search_path,
    ),
)
