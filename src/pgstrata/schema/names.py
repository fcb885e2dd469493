"""The rules for names: which keys a section takes, and what a connection may be called."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from pgstrata.model import Severity
from pgstrata.schema import parameters
from pgstrata.schema.keys import SECTIONS, TABLES, Key, Section
from pgstrata.schema.libpq import connection_keys

MAX_NAME = 40
TARGET_SECTIONS = {name: section for name, section in SECTIONS.items() if section.target}

_CONNECTION_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_SHOWABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,62}")


def key_of(section: Section, name: str) -> Key | None:
    """Return the key ``name`` of a section, or None where the section has none of that name."""
    if section.shape == "parameters":
        return parameter_key(name)
    return keys_of(section).get(name)


def keys_of(section: Section) -> Mapping[str, Key]:
    """Return the keys of a section that has a table of them."""
    return connection_keys() if section.shape == "connection" else TABLES[section.shape]


def is_setting(key: str) -> bool:
    """Whether a dotted key, as ``Config`` has them, is one that some file may set."""
    if key.startswith("connections."):
        _, name, key = (*key.split(".", 2), "")[:3]
        if connection_name_problem(name) or key.partition(".")[0] not in TARGET_SECTIONS:
            return False
    head, _, rest = key.partition(".")
    section = SECTIONS.get(head)
    if section is None or section.shape == "connections":
        return False
    return key_of(section, rest) is not None if section.is_map else not rest


def candidates(section: Section) -> Iterable[str]:
    """Return the names that a misspelt key of ``section`` may stand for."""
    return parameters.names() if section.shape == "parameters" else keys_of(section)


def parameter_key(name: str) -> Key | None:
    """Return the key of a PostgreSQL parameter, or None for one that no server has.

    The key is in lower case, as the server compares them, so that two spellings in two layers are
    one setting.
    """
    if parameters.find(name) is None and not parameters.is_custom(name):
        return None
    return Key(name.lower(), "text", "A PostgreSQL parameter.")


def parameter_problems(name: str, text: str) -> Iterable[tuple[str, Severity, str]]:
    """Yield (rule, severity, message) for whatever is wrong with a session setting."""
    parameter = parameters.find(name)
    if parameter is None:
        return
    if not parameter.settable_by_session:
        message = f"{name} belongs to the whole server; a session cannot set it"
        yield "server-parameter", "error", message
        return
    try:
        parameters.canonical(parameter, text)
    except ValueError as error:
        yield "invalid-value", "error", f"{name}: {error}"
        return
    if parameters.lacks_unit(parameter, text):
        yield "unit", "warning", f"{name}: {text} means {text} {parameter.unit}; write the unit"


def connection_name_problem(name: str) -> str:
    """Return why ``name`` cannot name a connection, or nothing."""
    if name == "default":
        return "'default' is the connection that the top-level sections describe"
    if not _CONNECTION_NAME.fullmatch(name) or len(name) > MAX_NAME:
        # Variables carry names in upper case and join them with two underscores.
        return "names are lower-case letters, digits and single underscores"
    if name.startswith("dynaconf"):
        return "names that begin with dynaconf mean something to the library that merges"
    return ""


def is_showable(name: str) -> bool:
    """Whether a key that nobody knows has the form of one, so that a message may quote it.

    In ``{password:secret}``, without the space, the whole is a key and holds the password.
    """
    return _SHOWABLE.fullmatch(name) is not None


def shown(name: str) -> str:
    """Return a key as a message may quote it."""
    return repr(name) if is_showable(name) else "this"
