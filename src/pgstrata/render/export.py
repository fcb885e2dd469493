"""One connection of an environment as a file that other programs read.

A secret is written where it is asked to be revealed. Otherwise it is written as a reference, where
the form and its source allow one, or else left out and named.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from pgstrata.connect.conninfo import checks_on_checkout, conninfo, pool_options
from pgstrata.connect.references import Reference, reference
from pgstrata.errors import PgstrataError, UsageError
from pgstrata.model import Config, Secret, Setting
from pgstrata.render import flat, libpq
from pgstrata.render.flat import Value
from pgstrata.schema.keys import SECTIONS
from pgstrata.schema.libpq import make_conninfo

Target: TypeAlias = Mapping[str, Setting]


@dataclass(frozen=True, slots=True)
class Export:
    """The text of a file, and in words what could not be written to it."""

    text: str = field(repr=False)
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Form:
    """How a file is made: what it is, from what, which references it can hold, which values."""

    doc: str
    write: Callable[[str, Mapping[str, Any]], str]
    of: Literal["settings", "keywords", "variables"]
    references: tuple[str, ...] = ()
    holds: Literal["all", "secrets", "others"] = "all"


FORMS: dict[str, Form] = {
    "dotenv": Form(
        "A .env file, as python-dotenv and Docker Compose read it.",
        lambda _, values: flat.dotenv(values),
        "variables",
        ("env",),
    ),
    "json": Form(
        "All settings of the connection, its pools' too; `load_file` reads it again.",
        lambda _, tree: _json(tree),
        "settings",
        ("env", "file"),
    ),
    "yaml": Form(
        "The same as YAML.", lambda _, tree: flat.yaml_text(tree), "settings", ("env", "file")
    ),
    "shell": Form(
        "Lines for a POSIX shell to read with `.` or `eval`.",
        lambda _, values: flat.shell(values),
        "variables",
        ("env", "file"),
    ),
    "service": Form("An entry of pg_service.conf.", libpq.service, "keywords"),
    "pgpass": Form(
        "Lines of a password file, one for each host.",
        lambda _, keywords: _pgpass(keywords),
        "keywords",
    ),
    "conninfo": Form(
        "A conninfo string for libpq.",
        lambda _, keywords: make_conninfo(keywords) + "\n",
        "keywords",
    ),
    "url": Form("A postgresql:// URL.", lambda _, keywords: libpq.url(keywords) + "\n", "keywords"),
    "k8s-secret": Form(
        "A Kubernetes Secret with the secrets alone.", flat.secret, "variables", holds="secrets"
    ),
    "k8s-configmap": Form(
        "A Kubernetes ConfigMap with all but the secrets.",
        flat.config_map,
        "variables",
        holds="others",
    ),
    "docker-env": Form(
        "A file for `docker run --env-file`.",
        lambda _, values: flat.docker_env(values),
        "variables",
    ),
}
_SECRET_FORMS = ("pgpass", "k8s-secret")


def export(
    config: Config, connection: str, form: str, *, reveal: bool = False, name: str = ""
) -> Export:
    """Return one connection in one of the ``FORMS``.

    ``name`` names a service or a Kubernetes object; it is otherwise made of the environment and
    the connection. Nothing of the process's own ``PG*`` variables is in the file.

    Raises ``UsageError`` for what the form cannot hold, ``ConfigError`` for a secret that is to be
    revealed and cannot be had.
    """
    result = _attempt(config, connection, form, name, reveal=reveal)
    if isinstance(result, PgstrataError):
        raise result
    return result


def _attempt(
    config: Config, connection: str, form: str, name: str, *, reveal: bool
) -> Export | PgstrataError:
    """Return an error without the frames that hold secrets, which a traceback might show."""
    try:
        return _export(config, connection, form, name, reveal=reveal)
    except PgstrataError as error:
        return error.with_traceback(None)
    except UnicodeError:
        return UsageError("a value is not Unicode text, and no file can hold it")


def _export(config: Config, connection: str, form: str, name: str, *, reveal: bool) -> Export:
    made = FORMS[form]
    if form in _SECRET_FORMS and not reveal:
        raise UsageError(f"--as {form} holds nothing but secrets", hint="--reveal writes them")
    name = name or _name(config.environment, connection)
    if any(mark in name for mark in "]\0\n\r"):
        raise UsageError("a name cannot hold ] or a line break")
    values, left_out = (
        _settings(config.connection(connection), reveal=reveal)
        if made.of == "settings"
        else _keywords(config, connection, made, reveal=reveal)
    )
    return Export(made.write(name, values), tuple(left_out))


def _name(environment: str, connection: str) -> str:
    return environment if connection == "default" else f"{environment}-{connection}"


def _keywords(
    config: Config, connection: str, form: Form, *, reveal: bool
) -> tuple[Mapping[str, Any], list[str]]:
    made_with = conninfo(config, connection, "normal")
    if made_with.local is not None:
        raise UsageError(
            "the embedded server of a local environment has no lasting address",
            hint="pgstrata exec connects to it; pgstrata local url prints where it is now",
        )
    target = config.connection(connection)
    values: dict[str, Any] = {}
    left_out = [f"{name}: left to the pooler" for name in made_with.session or ()]
    for key, value in made_with.keywords.items():
        if libpq.is_own_default(target, key):
            continue
        if form.holds == ("others" if isinstance(value, Secret) else "secrets"):
            continue
        written = _written(target, key, value, form.references, reveal=reveal)
        if isinstance(written, Reference) and written.kind == "file":
            written = Reference("file", str(config.project / written.operand))
        if written is None:
            left_out.append(f"{key}: {_CLOSED}")
        else:
            values[key] = written
    if form.of == "variables":
        values, without = libpq.variables(values)
        if without:
            left_out.append(f"{', '.join(without)}: libpq has no variable for this")
    return values, left_out


_CLOSED = "a secret; --reveal writes it"


def _written(
    target: Target, key: str, value: object, kinds: tuple[str, ...], *, reveal: bool
) -> Value | None:
    """Return what is written for a keyword; None for a secret that has to be left out."""
    if not isinstance(value, Secret):
        return str(value)
    if reveal:
        return value.reveal()
    found = reference(target, key, value)
    return found if found is not None and found.kind in kinds else None


def _settings(target: Target, *, reveal: bool) -> tuple[dict[str, Any], list[str]]:
    """Return the effective settings by section, as one file that is all of a configuration."""
    tree: dict[str, Any] = {}
    left_out = []
    for key, setting in target.items():
        section, _, name = key.partition(".")
        if setting.value is None or setting.origin.layer == "libpq" or name == "url":
            continue
        if SECTIONS[section].shape == "pool":
            continue
        value: Any = setting.value
        if isinstance(value, Secret):
            value = _written(target, name, value, ("env", "file"), reveal=reveal)
            if isinstance(value, Reference):
                value = {f"from_{value.kind}": value.operand}
        if value is None:
            left_out.append(f"{name}: {_CLOSED}")
        elif name:
            tree.setdefault(section, {})[name] = value
        else:
            tree[section] = value
    for kind in ("pool", "async_pool"):
        checked = {"check_on_checkout": checks_on_checkout(target, kind)}
        tree[f"{kind}_settings"] = pool_options(target, kind) | checked
    order = list(SECTIONS)
    return dict(sorted(tree.items(), key=lambda item: order.index(item[0]))), left_out


def _json(tree: Mapping[str, Any]) -> str:
    return json.dumps(tree, indent=2, ensure_ascii=False) + "\n"


def _pgpass(keywords: Mapping[str, str]) -> str:
    if "password" not in keywords:
        raise UsageError("connection_settings.password is not set, so there is nothing to write")
    return libpq.pgpass(keywords, keywords["password"])
