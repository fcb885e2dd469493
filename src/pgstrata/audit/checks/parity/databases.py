"""Version, encoding, locale and extensions of two environments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pgstrata.audit.checks.parity.pairs import against_model, named
from pgstrata.audit.model import Check, Fix, Outcome
from pgstrata.audit.view import View
from pgstrata.statements import identifier

# Newer servers renamed columns: daticulocale became datlocale in 17.
_LOCALE = {
    "collation": ("datcollate",),
    "ctype": ("datctype",),
    "provider": ("datlocprovider",),
    "locale": ("datlocale", "daticulocale"),
}
# Before 15 there is no column for it: libc is the only one.
_PROVIDERS = {"": "libc", "c": "libc", "i": "icu", "b": "builtin"}
_OPTIONS = {
    "encoding": "ENCODING",
    "collation": "LC_COLLATE",
    "ctype": "LC_CTYPE",
    "provider": "LOCALE_PROVIDER",
}


def version(view: View, model: View) -> Iterator[Outcome]:
    """Compare the servers' versions."""
    here, there = str(view.row("caps")["version"]), str(model.row("caps")["version"])
    other_major = view.version != model.version
    same = view.row("caps")["version_num"] == model.row("caps")["version_num"]
    newer = Fix(f"-- PostgreSQL {model.version} here too", "restart")
    yield Outcome(
        "fail" if other_major else "ok" if same else "info",
        f"PostgreSQL {named(view, here)}, {named(model, there)}",
        object=model.client.environment,
        observed=here,
        expected=there,
        fix=(newer,) if other_major else (),
    )


def encoding(view: View, model: View) -> Iterator[Outcome]:
    """Compare encoding and locale of the databases."""
    here, there = _locale(view), _locale(model)
    differing = [name for name in here if here[name] != there[name]]
    for name in differing:
        yield Outcome(
            "fail",
            f"{name}: {named(view, here[name])}, {named(model, there[name])}",
            object=name,
            observed=here[name],
            expected=there[name],
            fix=(_made_again(view, name, there),),
        )
    if not differing:
        yield Outcome("ok", f"as in {model.client.environment}")


def _locale(view: View) -> dict[str, str]:
    row = view.row("database")
    columns = {
        name: next((str(row["db"][key]) for key in keys if row["db"].get(key)), "")
        for name, keys in _LOCALE.items()
    }
    columns["provider"] = _PROVIDERS.get(columns["provider"], columns["provider"])
    return {"encoding": row["encoding"], **columns}


def _made_again(view: View, name: str, there: Mapping[str, str]) -> Fix:
    option = f"{there['provider']}_LOCALE".upper() if name == "locale" else _OPTIONS[name]
    # Without a locale of its own the other database has another provider: that is said by itself.
    value = f"{option} '{there[name]}' " if there[name] else ""
    return Fix(
        f"-- dump, CREATE DATABASE {identifier(view.dbname)} … {value}TEMPLATE template0, restore",
        "at once",
        "SELECT * FROM pg_database WHERE datname = current_database();",
    )


def extensions(view: View, model: View) -> Iterator[Outcome]:
    """Compare extensions and their versions."""
    here, there = _extensions(view), _extensions(model)
    differing = sorted(n for n in here.keys() | there.keys() if here.get(n) != there.get(n))
    for name in differing:
        yield Outcome(
            "warn",
            f"extension {name}: {named(view, here.get(name, 'none'))},"
            f" {named(model, there.get(name, 'none'))}",
            object=name,
            observed=here.get(name, "none"),
            expected=there.get(name, "none"),
            fix=(_installed(name, here.get(name), there.get(name)),),
        )
    if not differing:
        yield Outcome("ok", f"the extensions of {model.client.environment}")


def _extensions(view: View) -> dict[str, str]:
    return {row["extname"]: row["extversion"] for row in view.rows("extensions")}


def _installed(name: str, here: str | None, there: str | None) -> Fix:
    if there is None:
        statement = f"DROP EXTENSION {identifier(name)};"
    elif here is None:
        statement = f"CREATE EXTENSION {identifier(name)} VERSION '{there}';"
    else:
        statement = f"ALTER EXTENSION {identifier(name)} UPDATE TO '{there}';"
    return Fix(statement, "at once", "SELECT extname, extversion FROM pg_extension;")


_ONE_HOST = "Other hosts of the same connection; connections of other names."

CHECKS = (
    Check(
        "par.version",
        "fail",
        what="Another major version than in the environment that is the model: the first protected"
        " one. Another minor version is information.",
        why="What was tried there is not what runs here: plans, functions and defaults differ.",
        verify="SHOW server_version;",
        fix="One major version in all environments.",
        ignore="While an upgrade is under way: with an expiry date.",
        cannot_see=_ONE_HOST,
        source="PostgreSQL release notes.",
        compare=against_model(version),
    ),
    Check(
        "par.encoding",
        "fail",
        what="Encoding, collation, ctype, locale provider and locale of the two databases.",
        why="Texts sort and compare otherwise, and one takes characters that the other refuses.",
        verify="SELECT * FROM pg_database WHERE datname = current_database();",
        fix="Dump, make the database again with the locale of the other, restore.",
        ignore="When nothing sorts by the database's own collation.",
        cannot_see="Collations of single columns.",
        source="PostgreSQL documentation, Localization.",
        compare=against_model(encoding),
    ),
    Check(
        "par.extensions",
        "warn",
        what="Extensions that only one of the two databases has, or in another version.",
        why="A migration that was tried in one fails in the other.",
        verify="SELECT extname, extversion FROM pg_extension;",
        fix="CREATE, ALTER or DROP EXTENSION.",
        ignore="For what only watches, such as pg_stat_statements.",
        cannot_see="What is installed beside extensions.",
        source="PostgreSQL documentation, Packaging Related Objects into an Extension.",
        compare=against_model(extensions),
    ),
)
