"""The part of a program that says where the database is: by pgstrata, or by psycopg alone."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pgstrata.connect.conninfo import (
    ConnectionType,
    Conninfo,
    Target,
    checks_on_checkout,
    conninfo,
    pool_options,
)
from pgstrata.connect.references import reference
from pgstrata.errors import UsageError
from pgstrata.model import Config, Secret
from pgstrata.schema.keys import SYNC_TYPES

_CLASS = {
    "normal": "psycopg.Connection",
    "async": "psycopg.AsyncConnection",
    "pool": "ConnectionPool",
    "async_pool": "AsyncConnectionPool",
}

WIDTH = 88  # columns, as black and ruff format by default


@dataclass(frozen=True, slots=True)
class Database:
    """How a program reaches the database.

    ``imports`` are import statements; ``setup`` has the functions and assignments of the module by
    the name that each defines, of which a program takes those that it uses. ``block`` is the
    expression behind ``with``. ``open`` and ``close`` are statements for the beginning and the end
    of the program, or empty. ``connect`` is a function that returns a new connection, and
    ``keywords`` an expression for what psycopg connects with. ``secrets`` names the variables that
    the program reads secrets from.
    """

    imports: tuple[str, ...]
    setup: Mapping[str, str]
    block: str
    connect: str
    keywords: str
    open: str = ""
    close: str = ""
    secrets: tuple[str, ...] = ()


def by_pgstrata(
    config: Config, connection: str, connection_type: ConnectionType, suffix: str = ""
) -> Database:
    """Return a database that is reached through pgstrata's manager.

    ``suffix`` ends the names that one program has several of.
    """
    method = "async_" if connection_type == "async" else connection_type
    named = "" if connection == "default" else literal(connection)
    is_async = connection_type not in SYNC_TYPES
    pooled = connection_type in ("pool", "async_pool")
    await_ = "await " if is_async else ""
    connect = "manager.connect_async" if is_async else "manager.connect"
    return Database(
        imports=("from pgstrata import PGConnectionManager",),
        setup={
            "manager": f"manager = PGConnectionManager(env={literal(config.environment)})",
            f"database{suffix}": f"database{suffix} = manager.{method}({named})",
        },
        block=f"database{suffix}",
        connect=f"lambda: {connect}({named})" if named else connect,
        keywords=f"manager.keywords({named})",
        open=f"{await_}database{suffix}.open()" if pooled else "",
        close=f"{await_}database{suffix}.{'aclose' if is_async else 'close'}()" if pooled else "",
    )


@dataclass(frozen=True, slots=True)
class File:
    """A single file that is a whole configuration, and how a program is to read it."""

    path: str
    resolve_env: bool = False
    allow_sensitive_defaults: bool = False


def by_file(
    file: File, _config: Config, _connection: str, connection_type: ConnectionType, suffix: str = ""
) -> Database:
    """Return a database that is reached through pgstrata's manager by a single file."""
    is_async = connection_type not in SYNC_TYPES
    pooled = connection_type in ("pool", "async_pool")
    flags = [f"{name}=True" for name in ("resolve_env", "allow_sensitive_defaults")]
    said = [flag for flag in flags if getattr(file, flag.partition("=")[0])]
    arguments = ", ".join([literal(file.path), literal(connection_type), *said])
    name, await_ = f"database{suffix}", "await " if is_async else ""
    call = f"{name} = manager.get_database_connection({arguments})"
    if len(call) > WIDTH:
        lines = "".join(f"    {argument},\n" for argument in arguments.split(", "))
        call = f"{name} = manager.get_database_connection(\n{lines})"
    return Database(
        imports=("from pgstrata import PGConnectionManager",),
        setup={"manager": "manager = PGConnectionManager()", name: call},
        block=name,
        connect="",
        keywords="",
        open=f"{await_}{name}.open()" if pooled else "",
        close=f"{await_}{name}.{'aclose' if is_async else 'close'}()" if pooled else "",
    )


def by_psycopg(
    config: Config, connection: str, connection_type: ConnectionType, suffix: str = ""
) -> Database:
    """Return a database that is reached without pgstrata. Raises ``UsageError`` for a local one."""
    made_with = conninfo(config, connection, connection_type)
    if made_with.local is not None:
        raise UsageError(
            f"{made_with.name} is the embedded server, whose place only pgstrata knows",
            hint="choose another environment, or --library pgstrata",
        )
    target = config.connection(connection)
    variables = secret_variables(target, made_with)
    pooled = connection_type in ("pool", "async_pool")
    is_async = connection_type not in SYNC_TYPES
    await_ = "await " if is_async else ""
    parts = {f"keywords{suffix}": _keywords(made_with, variables, suffix)}
    if made_with.session:
        parts[f"configure{suffix}"] = _configure(made_with, suffix, is_async=is_async)
    parts[f"connect{suffix}"] = _connect(made_with, suffix, is_async=is_async)
    if pooled:
        options = pool_options(target, connection_type)
        checks = checks_on_checkout(target, connection_type)
        parts[f"pool{suffix}"] = _pool(connection_type, made_with, suffix, options, checks=checks)
    return Database(
        imports=_imports(connection_type, bool(variables)),
        setup=parts,
        block=f"pool{suffix}.connection()" if pooled else f"{await_}connect{suffix}()",
        connect=f"connect{suffix}",
        keywords=f"keywords{suffix}()",
        open=f"{await_}pool{suffix}.open(wait=True)" if pooled else "",
        close=f"{await_}pool{suffix}.close()" if pooled else "",
        secrets=tuple(variables.values()),
    )


def secret_variables(target: Target, made_with: Conninfo) -> dict[str, str]:
    """Return the variable of each secret keyword: its own, or one that is named after libpq's."""
    found = {}
    for name, value in made_with.keywords.items():
        if isinstance(value, Secret):
            place = reference(target, name, value)
            own = place.operand if place and place.kind == "env" else ""
            found[name] = own or f"PG{name.upper()}"
    return found


def _imports(connection_type: ConnectionType, secrets: bool) -> tuple[str, ...]:  # noqa: FBT001  # private
    found = ["from typing import Any", "import psycopg"]
    if connection_type in ("pool", "async_pool"):
        found.append(f"from psycopg_pool import {_CLASS[connection_type]}")
    return (*found, "import os") if secrets else tuple(found)


def _keywords(made_with: Conninfo, variables: Mapping[str, str], suffix: str) -> str:
    doc = "what each new connection is made with" + ("; secrets are read anew" if variables else "")
    lines = [
        f"def keywords{suffix}() -> dict[str, Any]:",
        f'    """Return {doc}."""',
        "    return {",
    ]
    for name, value in made_with.keywords.items():
        if isinstance(value, Secret):
            lines.append(_entry(name, f"os.environ[{literal(variables[name])}]"))
        else:
            lines.append(_entry(name, literal(value), value))
    if made_with.autocommit:
        lines.append('        "autocommit": True,')
    if not made_with.prepare:
        lines.append('        "prepare_threshold": None,')
    return "\n".join([*lines, "    }"])


def _entry(name: str, code: str, text: str = "") -> str:
    """Return one entry of a dictionary; the long text of several options has a line for each."""
    entry = f"        {literal(name)}: {code},"
    if len(entry) <= WIDTH or " -c " not in text:
        return entry
    lines = [f"            {literal(piece)}" for piece in re.split("(?= -c )", text)]
    return "\n".join([f"        {literal(name)}: (", *lines, "        ),"])


def _configure(made_with: Conninfo, suffix: str, *, is_async: bool) -> str:
    """Return the function that sets what a pooler does not take at the start of a session."""
    assert made_with.session is not None
    def_, await_, kind = ("async def", "await ", "async") if is_async else ("def", "", "normal")
    lines = [f"{def_} configure{suffix}(connection: {_CLASS[kind]}[Any]) -> None:"]
    lines.append('    """Set what the pooler does not take at the start of a session."""')
    lines.append("    settings = {")
    lines += [_entry(name, literal(text)) for name, text in made_with.session.items()]
    lines += ["    }", "    for name, value in settings.items():"]
    execute = f"{await_}connection.execute"
    lines.append(f'        {execute}("SELECT set_config(%s, %s, false)", (name, value))')
    return "\n".join([*lines, f"    {await_}connection.commit()"])


def _connect(made_with: Conninfo, suffix: str, *, is_async: bool) -> str:
    class_ = _CLASS["async" if is_async else "normal"]
    def_, await_ = ("async def", "await ") if is_async else ("def", "")
    lines = [f"{def_} connect{suffix}() -> {class_}:", '    """Return a new connection."""']
    if not made_with.session:
        return "\n".join([*lines, f"    return {await_}{class_}.connect(**keywords{suffix}())"])
    lines.append(f"    connection = {await_}{class_}.connect(**keywords{suffix}())")
    return "\n".join(
        [*lines, f"    {await_}configure{suffix}(connection)", "    return connection"]
    )


def _pool(
    connection_type: ConnectionType,
    made_with: Conninfo,
    suffix: str,
    options: Mapping[str, object],
    *,
    checks: bool,
) -> str:
    name = _CLASS[connection_type]
    lines = [f"pool{suffix} = {name}(", f"    kwargs=keywords{suffix},"]
    lines += [f"    configure=configure{suffix},"] if made_with.session else []
    lines += [f"    check={name}.check_connection,"] if checks else []
    lines += [f"    {key}={_text(value)}," for key, value in options.items()]
    return "\n".join([*lines, "    open=False,", ")"])


def _text(value: object) -> str:
    return literal(value) if isinstance(value, str) else repr(value)


def literal(text: str) -> str:
    """Return a string of Python in double quotes, or in single ones where that saves escapes."""
    return repr(text) if '"' in text and "'" not in text else json.dumps(text, ensure_ascii=False)
