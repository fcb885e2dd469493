"""Names and values, written so that PostgreSQL reads back what was meant."""

from __future__ import annotations

import re

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
# What pg_get_keywords() of PostgreSQL 13 to 18 lists as anything but unreserved.
_KEYWORDS = """
all analyse analyze and any array as asc asymmetric authorization between bigint binary bit
boolean both case cast char character check coalesce collate collation column concurrently
constraint create cross current_catalog current_date current_role current_schema current_time
current_timestamp current_user dec decimal default deferrable desc distinct do else end except
exists extract false fetch float for foreign freeze from full grant greatest group grouping having
ilike in initially inner inout int integer intersect interval into is isnull join json json_array
json_arrayagg json_exists json_object json_objectagg json_query json_scalar json_serialize
json_table json_value lateral leading least left like limit localtime localtimestamp merge_action
national natural nchar none normalize not notnull null nullif numeric offset on only or order out
outer overlaps overlay placing position precision primary real references returning right row
select session_user setof similar smallint some substring symmetric system_user table tablesample
then time timestamp to trailing treat trim true union unique user using values varchar variadic
verbose when where window with xmlattributes xmlconcat xmlelement xmlexists xmlforest
xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable
"""
KEYWORDS = frozenset(_KEYWORDS.split())


def identifier(name: str) -> str:
    """Return a name as SQL takes it: in quotes where it needs them, as quote_ident() does."""
    if _PLAIN.fullmatch(name) and name not in KEYWORDS:
        return name
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
