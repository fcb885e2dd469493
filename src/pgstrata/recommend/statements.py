"""Names and values, written so that PostgreSQL reads back what was meant."""

from __future__ import annotations


def identifier(name: str) -> str:
    """Return a name as SQL takes it. It is always quoted: so it is never a keyword."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text as SQL takes it, whatever ``standard_conforming_strings`` says."""
    quoted = "'" + text.replace("'", "''") + "'"
    return "E" + quoted.replace("\\", "\\\\") if "\\" in text else quoted


def conf_text(text: str) -> str:
    """Return a text as postgresql.conf takes it, where a backslash starts an escape."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def role_setting(role: str, database: str, name: str, value: str) -> str:
    """Return the statement that sets a parameter at the narrowest scope there is."""
    return (
        f"ALTER ROLE {identifier(role)} IN DATABASE {identifier(database)}"
        f" SET {name} = {literal(value)};"
    )
