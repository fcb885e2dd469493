"""A whole program: its imports in order, the database, and what a framework makes of it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from typing import cast

from pgstrata.codegen import layout
from pgstrata.codegen.database import Database, File, by_file, by_pgstrata, by_psycopg
from pgstrata.connect.conninfo import ConnectionType, pool_options
from pgstrata.errors import UsageError
from pgstrata.model import Config
from pgstrata.schema.keys import SYNC_TYPES

LIBRARIES = {"pgstrata": by_pgstrata, "psycopg": by_psycopg}
ALL: tuple[ConnectionType, ...] = ("normal", "pool", "async", "async_pool")

_SINGLE: dict[ConnectionType, ConnectionType] = {"pool": "normal", "async_pool": "async"}


@dataclass(frozen=True, slots=True)
class Framework:
    """What a framework can do with a connection, and what its user is told where it cannot.

    ``pools`` tells that it keeps a pool of its own.
    """

    types: tuple[str, ...] = ALL
    instead: str = ""
    pools: bool = False


FRAMEWORKS: dict[str, Framework] = {
    "script": Framework(),
    "flask": Framework(SYNC_TYPES, "Flask runs a view in a thread; --framework fastapi is async"),
    "fastapi": Framework(),
    "django": Framework(SYNC_TYPES, "Django's own connections are synchronous", pools=True),
    "sqlalchemy": Framework(pools=True),
    "celery": Framework(SYNC_TYPES, "a task of Celery is a plain function"),
    "pytest": Framework(),
}


@dataclass(frozen=True, slots=True)
class Program:
    """The text of a program, and the names of the variables that it reads secrets from."""

    text: str
    secrets: tuple[str, ...] = ()


def program(
    config: Config,
    connection: str = "default",
    *,
    connection_type: str = "",
    library: str = "pgstrata",
    framework: str = "script",
    file: File | None = None,
) -> Program:
    """Return a program that connects to one connection of an environment, or to that of a single
    ``file``.

    ``connection_type`` is one of the four, ``all`` (scripts only), or else the connection's own.
    The text has no secret in it. Raises ``UsageError`` for what does not go together.
    """
    own = str(config.connection(connection)["connection_type"].value)
    kinds = _kinds(connection_type or own, framework)
    made = LIBRARIES[_known(library, LIBRARIES, "library")]
    if file is not None and library == "pgstrata":
        made = partial(by_file, file)
    suffixes = [f"_{kind}" if len(kinds) > 1 else "" for kind in kinds]
    databases = [
        made(config, connection, _without_pool(kind, framework), suffix)
        for kind, suffix in zip(kinds, suffixes, strict=True)
    ]
    bodies = [
        _body(framework, kind, database, suffix, config, connection)
        for kind, database, suffix in zip(kinds, databases, suffixes, strict=True)
    ]
    if framework == "script":
        bodies.append(_main(kinds, suffixes))
    chunks = [chunk for body in bodies for chunk in body.chunks]
    imports = [line for one in databases for line in one.imports]
    text = layout.module(
        _docstring(file.path if file else _where(config, connection), library),
        [*imports, *(line for body in bodies for line in body.imports)],
        [
            *layout.needed({k: v for one in databases for k, v in one.setup.items()}, chunks),
            *chunks,
        ],
    )
    return Program(text, tuple(dict.fromkeys(name for one in databases for name in one.secrets)))


@dataclass(frozen=True, slots=True)
class Body:
    """What a framework makes of a database: import statements, and functions and assignments."""

    imports: tuple[str, ...]
    chunks: tuple[str, ...]


def _kinds(wanted: str, framework: str) -> tuple[ConnectionType, ...]:
    known = FRAMEWORKS[_known(framework, FRAMEWORKS, "framework")]
    if wanted == "all" and framework == "script":
        return ALL
    if wanted == "all":  # a web application or a suite has one way to its database
        raise UsageError(
            f"a program for {framework} connects in one way, and the type all is four",
            hint=f"choose one of {', '.join(known.types)}; --framework script takes all",
        )
    if _known(wanted, ALL, "connection type") not in known.types:
        raise UsageError(f"{framework} does not take the type {wanted}", hint=known.instead)
    return (cast(ConnectionType, wanted),)


def _without_pool(kind: ConnectionType, framework: str) -> ConnectionType:
    """Return the type whose connections a framework's own pool is filled with."""
    return _SINGLE.get(kind, kind) if FRAMEWORKS[framework].pools else kind


def _known(word: str, words: Collection[str], what: str) -> str:
    if word not in words:
        raise UsageError(f"no {what} {word!r}", hint=f"one of {', '.join(words)}")
    return word


def _body(
    framework: str, kind: str, database: Database, suffix: str, config: Config, connection: str
) -> Body:
    way = "sync" if kind in SYNC_TYPES else "async"
    template = files("pgstrata.codegen") / "templates" / f"{framework}_{way}.txt"
    values = {
        "kind": kind,
        "suffix": suffix,
        "block": database.block,
        "connect": database.connect,
        "keywords": database.keywords,
        "open": database.open,
        "close": database.close,
        "atexit": f"atexit.register({database.close.removesuffix('()')})" if database.close else "",
        **_pooling(config, connection, kind),
    }
    filled = layout.fill(template.read_text(encoding="utf-8"), values)
    imports, *chunks = filled.split("===\n")
    return Body(tuple(imports.splitlines()), tuple(chunk.rstrip("\n") for chunk in chunks))


def _pooling(config: Config, connection: str, kind: str) -> dict[str, str]:
    """Return what frameworks with a pool of their own are told of the configured one."""
    target = config.connection(connection)
    dbname = json.dumps(str(target["connection_settings.dbname"].value))
    health = '"CONN_HEALTH_CHECKS": True,'  # a connection, Django's pool's too, is tried first
    if kind not in ("pool", "async_pool"):
        return dict.fromkeys(("pool_size", "pool_option"), "") | {
            "dbname": dbname,
            "pool_class": "NullPool",
            "health": health,
        }
    options = pool_options(target, cast(ConnectionType, kind))
    least, most = int(options["min_size"]), int(options.get("max_size", options["min_size"]))
    size = f"pool_size={max(least, 1)}, max_overflow={most - max(least, 1)}, pool_pre_ping=True,"
    return {
        "dbname": dbname,
        "pool_class": "QueuePool" if kind == "pool" else "AsyncAdaptedQueuePool",
        "pool_size": size.replace(", ", ",\n    "),
        "pool_option": f'"pool": {{"min_size": {least}, "max_size": {most}}},',
        "health": health,
    }


def _main(kinds: Iterable[str], suffixes: Iterable[str]) -> Body:
    calls = [
        f"    ask{suffix}()" if kind in SYNC_TYPES else f"    asyncio.run(ask{suffix}())"
        for kind, suffix in zip(kinds, suffixes, strict=True)
    ]
    return Body((), ("\n".join(['if __name__ == "__main__":', *calls]),))


def _where(config: Config, connection: str) -> str:
    return config.environment if connection == "default" else f"{config.environment}/{connection}"


def _docstring(where: str, library: str) -> str:
    by = "through pgstrata" if library == "pgstrata" else "with psycopg alone"
    return f'"""Connects to {where} {by}; made by `pgstrata code`."""'
