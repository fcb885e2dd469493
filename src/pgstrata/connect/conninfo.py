"""What to connect with, computed from settings alone: the same for sync and async, pool and single
connection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

from pgstrata.capacity import pool_sizes, value_of
from pgstrata.connect.application import application, is_given
from pgstrata.errors import SecretError
from pgstrata.model import Config, Secret, Setting
from pgstrata.schema.keys import CONNECTION, POOL, POOL_SECTIONS, session_sections
from pgstrata.schema.libpq import OURS
from pgstrata.validation import is_local

ConnectionType: TypeAlias = Literal["normal", "pool", "async", "async_pool"]
Target: TypeAlias = Mapping[str, Setting]

# The embedded server says itself where it is and how to log in; all else of a connection stays as
# configured.
_KEPT_LOCALLY = (
    "dbname",
    "application_name",
    "fallback_application_name",
    "client_encoding",
    "connect_timeout",
    "options",
)
_OUR_OPTIONS = ("check_on_checkout", "leak_threshold")
_POOLERS_WITHOUT_STATEMENTS = ("transaction", "pgbouncer")


@dataclass(frozen=True, slots=True)
class Conninfo:
    """All that one connection is made with. Secrets stay Secrets until ``resolve``.

    ``session`` are parameters to SET once connected; without a pooler it is empty, because the
    parameters then travel in the start-up packet's ``options``: no rollback reverts them, and a
    misspelt one fails the connection. ``deadline`` is how many seconds the server has for an
    answer.
    """

    name: str
    keywords: Mapping[str, str | Secret]
    autocommit: bool = False
    prepare: bool = True
    session: Mapping[str, str] | None = None
    local: Path | None = None
    deadline: float | None = None
    pooler: str | None = None

    def taken(self) -> Conninfo:
        """Return the same with the secrets as they are now, so that they can be compared with what
        they are later. Raises ``ConfigError``.
        """
        now = {
            name: value.taken() if isinstance(value, Secret) else value
            for name, value in self.keywords.items()
        }
        taken = replace(self, keywords=now)
        taken.resolve()  # refuses, by name, what libpq cannot take
        return taken

    def resolve(self) -> dict[str, str]:
        """Return libpq's keywords with the secrets revealed. Raises ``ConfigError``."""
        return {name: _clear(name, value) for name, value in self.keywords.items()}


def _clear(name: str, value: str | Secret) -> str:
    """Return what libpq is given for a keyword. It would stop reading at a NUL: what follows, the
    host or sslmode, would silently be its own default.
    """
    text = value.reveal() if isinstance(value, Secret) else value
    problem = _unfit(text)
    if not problem:
        return text
    del text  # a traceback with locals would show it
    source = f" ({value.source})" if isinstance(value, Secret) else ""
    del value
    raise SecretError(f"the {name}{source} {problem}", hint=f"change the {name} where it is kept")


def _unfit(text: str) -> str:
    if "\0" in text:
        return "holds a NUL character, which PostgreSQL cannot take"
    try:
        text.encode()
    except UnicodeEncodeError:  # bytes of a variable that are no text are kept as surrogates
        return "is not UTF-8 text"
    return ""


def conninfo(
    config: Config, connection: str, connection_type: ConnectionType, *, named: bool = False
) -> Conninfo:
    """Return what a connection of an environment is made with.

    ``named`` gives it this program's name where the settings have none; other programs have their
    own.
    """
    target = config.connection(connection)
    keywords = _keywords(target, config.project)
    local = is_local(target)
    if local:
        keywords = {name: value for name, value in keywords.items() if name in _KEPT_LOCALLY}
    session = session_parameters(target, connection_type)
    pooler = value_of(target, "pooler")
    if pooler is None and session:
        # Given any, libpq would pass over PGOPTIONS and a service's; the later option counts.
        given = value_of(target, "connection_settings.options") or ""
        keywords["options"] = f"{given} {options(session)}".strip()
    if named and not is_given(target, session, str(keywords.get("options", ""))):
        keywords["fallback_application_name"] = str(application(config.environment, target))
    return Conninfo(
        name=_name(config.environment, connection, target),
        keywords=keywords,
        autocommit=bool(value_of(target, "connection_settings.autocommit")),
        prepare=_prepares(target, pooler),
        session=session if pooler is not None else None,
        local=config.project if local else None,
        deadline=cast("float | None", value_of(target, "connection_settings.client_deadline")),
        pooler=cast("str | None", pooler),
    )


def _name(environment: str, connection: str, target: Target) -> str:
    """Return what a connection and its pool are called: by environment and name, e.g.
    ``production/default``; without an environment, by where they lead, e.g. ``shop@db.example.com``
    or ``shop@localhost:5433``.
    """
    if environment:
        return f"{environment}/{connection}"
    given = (value_of(target, f"connection_settings.{key}") for key in ("host", "hostaddr"))
    host = next((str(value) for value in given if value), "")
    port = value_of(target, "connection_settings.port")
    where = f"{host}:{port}" if host and port not in (None, "", 5432, "5432") else host
    dbname = value_of(target, "connection_settings.dbname") or ""
    place = f"{dbname}@{where}" if where else str(dbname)
    named = "" if connection == "default" else connection
    return "/".join(part for part in (place, named) if part) or "default"


def session_parameters(target: Target, connection_type: ConnectionType) -> dict[str, str]:
    """Return the PostgreSQL parameters of a session: those of all types, then those of its own
    kind.
    """
    general, own = session_sections(connection_type)
    return _section(target, general) | _section(target, own)


def options(parameters: Mapping[str, str]) -> str:
    """Return parameters as libpq's ``options``. Whitespace and backslashes are escaped by a
    backslash: pg_split_opts in the server's postinit.c.
    """
    return " ".join(
        "-c " + re.sub(r"[ \t\n\v\f\r\\]", r"\\\g<0>", f"{name}={text}")
        for name, text in parameters.items()
    )


def pool_options(target: Target, connection_type: ConnectionType) -> dict[str, Any]:
    """Return the arguments of psycopg_pool's constructor; what pgstrata adds to them is not among
    them.
    """
    section = POOL_SECTIONS[connection_type]
    given = {name: value_of(target, f"{section}.{name}") for name in POOL}
    values = {
        name: value
        for name, value in given.items()
        if value is not None and name not in _OUR_OPTIONS
    }
    return {**values, "min_size": pool_sizes(target, connection_type)[0]}


def leak_threshold(target: Target, connection_type: ConnectionType) -> float | None:
    """Return the seconds after which a connection that is not given back is reported, or None."""
    value = value_of(target, f"{POOL_SECTIONS[connection_type]}.leak_threshold")
    return cast("float | None", value)


def checks_on_checkout(target: Target, connection_type: ConnectionType) -> bool:
    """Tell whether each connection is tested before it is handed out."""
    return bool(value_of(target, f"{POOL_SECTIONS[connection_type]}.check_on_checkout"))


def _prepares(target: Target, pooler: object) -> bool:
    """Tell whether statements that are run often are prepared: as said, or where they can be."""
    said = value_of(target, "connection_settings.prepared_statements")
    return bool(said) if said is not None else pooler not in _POOLERS_WITHOUT_STATEMENTS


def _keywords(target: Target, project: Path) -> dict[str, str | Secret]:
    keywords: dict[str, str | Secret] = {}
    for key, setting in target.items():
        section, _, name = key.partition(".")
        if section != "connection_settings" or name in OURS or setting.value is None:
            continue
        if setting.origin.layer == "libpq":
            continue  # libpq fills it in by itself
        value = setting.value
        keywords[name] = value if isinstance(value, Secret) else _text(name, value, project)
    return keywords


def _text(name: str, value: object, project: Path) -> str:
    text = str(value)
    if name in CONNECTION and CONNECTION[name].path and text != "system":
        return str(project / text) if text else text
    return text


def _section(target: Target, section: str) -> dict[str, str]:
    prefix = f"{section}."
    return {
        key.removeprefix(prefix): str(setting.value)
        for key, setting in target.items()
        if key.startswith(prefix) and setting.value is not None
    }
