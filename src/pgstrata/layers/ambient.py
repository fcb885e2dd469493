"""What libpq itself fills in where the configuration is silent: a service file, ``PG*`` variables,
a password file.

These values are shown, so that nobody is surprised by them. They are not passed on: libpq reads
them by itself.
"""

from __future__ import annotations

import configparser
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pgstrata.model import Leaf, Origin, Secret, Value
from pgstrata.schema.libpq import connection_keys, keywords


def ambient(settings: Mapping[str, Value], environ: Mapping[str, str]) -> dict[str, list[Leaf]]:
    """Return what libpq would take for each keyword, strongest first.

    ``settings`` is the configured ``connection_settings``; only for keywords missing there does
    libpq look further. The order is libpq's own: service file, variable, and for the password a
    password file at the end.
    """
    found: dict[str, list[Leaf]] = {}
    for name, leaf in (*_service(settings, environ), *_variables(environ)):
        found.setdefault(name, []).append(leaf)
    known: dict[str, Any] = {name: leaves[0].value for name, leaves in found.items()}
    if password := _passfile({**known, **settings}, environ):
        found.setdefault("password", []).append(password)
    return found


def _variables(environ: Mapping[str, str]) -> Iterator[tuple[str, Leaf]]:
    for keyword in keywords().values():
        if keyword.variable and environ.get(keyword.variable):
            origin = Origin("libpq", f"env {keyword.variable}")
            yield keyword.name, _leaf(keyword.name, environ[keyword.variable], origin)


def _service(
    settings: Mapping[str, Value], environ: Mapping[str, str]
) -> Iterator[tuple[str, Leaf]]:
    service = settings.get("service") or environ.get("PGSERVICE")
    if not isinstance(service, str):
        return
    for path in _service_files(environ):
        parser = configparser.ConfigParser(interpolation=None, delimiters=("=",), strict=False)
        try:
            parser.read_string(path.read_text())
        except (OSError, UnicodeDecodeError, configparser.Error):
            continue
        if parser.has_section(service):
            for name, text in parser.items(service):
                if name in keywords():
                    yield name, _leaf(name, text, Origin("libpq", f"service {service} in {path}"))
            return


def _service_files(environ: Mapping[str, str]) -> Iterator[Path]:
    if named := environ.get("PGSERVICEFILE"):
        yield Path(named)
    else:
        yield _home(environ) / (
            "pg_service.conf" if sys.platform == "win32" else ".pg_service.conf"
        )
    if folder := environ.get("PGSYSCONFDIR"):
        yield Path(folder) / "pg_service.conf"


def _passfile(settings: Mapping[str, Value], environ: Mapping[str, str]) -> Leaf | None:
    path = _passfile_path(settings, environ)
    try:
        # libpq ignores a file that others may read, and so must what is said about it.
        if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
            return None
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    wanted = [_wanted(settings, name) for name in ("host", "port", "dbname", "user")]
    for number, line in enumerate(lines, 1):
        fields = _fields(line)
        if len(fields) >= 5 and all(  # noqa: PLR2004  # host, port, database, user, password
            field in ("*", want) for field, want in zip(fields, wanted, strict=False)
        ):
            return Leaf(
                Secret(fields[4], source=f"{path}:{number}"), Origin("libpq", str(path), number, 1)
            )
    return None


def _passfile_path(settings: Mapping[str, Value], environ: Mapping[str, str]) -> Path:
    named = settings.get("passfile")
    if isinstance(named, str):
        return Path(named)
    return _home(environ) / ("pgpass.conf" if sys.platform == "win32" else ".pgpass")


def _wanted(settings: Mapping[str, Value], name: str) -> str:
    """Return what a password file's field is compared with, as libpq does: its own defaults where
    nothing is set.
    """
    value = settings.get(name)
    if value is not None:
        return str(value)
    fallback = {
        "host": "localhost",
        "port": "5432",
        "dbname": _wanted(settings, "user") if name == "dbname" else "",
    }
    return fallback.get(name, "")


def _fields(line: str) -> list[str]:
    """Split a line of a password file at its colons; a backslash keeps the next character."""
    if line.startswith("#"):
        return []
    fields = [""]
    characters = iter(line)
    for character in characters:
        if character == "\\":
            fields[-1] += next(characters, "")
        elif character == ":":
            fields.append("")
        else:
            fields[-1] += character
    return fields


def _leaf(name: str, text: str, origin: Origin) -> Leaf:
    secret = connection_keys()[name].secret
    return Leaf(Secret(text, source=origin.source) if secret else text, origin)


def _home(environ: Mapping[str, str]) -> Path:
    if sys.platform == "win32":
        return Path(environ.get("APPDATA", "")) / "postgresql"
    return Path(environ.get("HOME") or "~").expanduser()
