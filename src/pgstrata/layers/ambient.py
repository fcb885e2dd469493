"""What libpq itself fills in where the configuration is silent: a service file, ``PG*`` variables,
a password file.

These values are shown, so that nobody is surprised by them. They are not passed on: libpq reads
them by itself.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pgstrata.home import home
from pgstrata.model import Leaf, Origin, Secret, Value
from pgstrata.schema.libpq import connection_keys, keywords

_PASSFILE_FIELDS = 5  # host, port, database, user, password
_DEFAULT_SOCKETS = ("", "/tmp", "/var/run/postgresql", "/run/postgresql")  # noqa: S108  # compared with, never used


def ambient(settings: Mapping[str, Value], environ: Mapping[str, str]) -> dict[str, list[Leaf]]:
    """Return what libpq would take for each keyword, strongest first.

    ``settings`` is the configured ``connection_settings``; only for keywords missing there does
    libpq look further. The order is libpq's own: service file, variable, and for the password a
    password file at the end.
    """
    found: dict[str, list[Leaf]] = {}
    for name, leaf in (*of_service(settings, environ), *_variables(environ)):
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


def of_service(
    settings: Mapping[str, Value], environ: Mapping[str, str]
) -> Iterator[tuple[str, Leaf]]:
    """Yield the keywords that a service file gives for these settings, if they name a service."""
    service = settings.get("service") or environ.get("PGSERVICE")
    if not isinstance(service, str):
        return
    for path in _service_files(settings, environ):
        lines = _lines(path)
        if f"[{service}]" in lines:
            yield from _entries(lines, service, str(path))
            return


def _entries(lines: list[str], service: str, source: str) -> Iterator[tuple[str, Leaf]]:
    """Yield what one service of a file says; as in libpq, its first line about a keyword counts."""
    start = lines.index(f"[{service}]") + 1
    for number, line in enumerate(lines[start:], start + 1):
        if line.startswith("["):
            return
        name, _, text = line.partition("=")
        if name in keywords() and not line.startswith("#"):
            yield name, _leaf(name, text, Origin("libpq", source, number, 1))


def _service_files(settings: Mapping[str, Value], environ: Mapping[str, str]) -> Iterator[Path]:
    if named := settings.get("servicefile") or environ.get("PGSERVICEFILE"):
        yield Path(str(named))
    elif folder_of_user := _own_folder(environ):
        yield folder_of_user / ".pg_service.conf"
    if folder := environ.get("PGSYSCONFDIR"):
        yield Path(folder) / "pg_service.conf"


def _lines(path: Path) -> list[str]:
    """Return the lines of a file without the space around them; none where it cannot be read."""
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError):
        return []


def _passfile(settings: Mapping[str, Value], environ: Mapping[str, str]) -> Leaf | None:
    path = _passfile_path(settings, environ)
    # libpq ignores a file that others may read, and so must what is said about it.
    if path is None or _readable_by_others(path):
        return None
    found = password_in(_lines(path), settings, str(path))
    return Leaf(found[0], Origin("libpq", str(path), found[1], 1)) if found else None


def password_in(
    lines: list[str], settings: Mapping[str, Value], source: str
) -> tuple[Secret, int] | None:
    """Return the password that libpq would take from the lines of a password file, and its line."""
    wanted = [_wanted(settings, name) for name in ("host", "port", "dbname", "user")]
    for number, line in enumerate(lines, 1):
        *fields, password = _fields(line)[:_PASSFILE_FIELDS] or [""]
        matches = len(fields) == len(wanted) and all(
            field in ("*", want) for field, want in zip(fields, wanted, strict=True)
        )
        if matches:
            return Secret(password, source=f"{source}:{number}"), number
    return None


def _readable_by_others(path: Path) -> bool:
    try:
        return os.name == "posix" and bool(stat.S_IMODE(path.stat().st_mode) & 0o077)
    except (OSError, ValueError):
        return True


def _passfile_path(settings: Mapping[str, Value], environ: Mapping[str, str]) -> Path | None:
    named = settings.get("passfile")
    if isinstance(named, str):
        return Path(named)
    folder = _own_folder(environ)
    return folder and folder / ("pgpass.conf" if sys.platform == "win32" else ".pgpass")


def _wanted(settings: Mapping[str, Value], name: str) -> str:
    """Return what a password file's field is compared with, as libpq does: its own defaults where
    nothing is set.
    """
    value = settings.get(name)
    if name == "host":
        value = value or settings.get("hostaddr")
        # A Unix socket in the default folder goes by the name of localhost there.
        value = None if value in _DEFAULT_SOCKETS else value
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


def _own_folder(environ: Mapping[str, str]) -> Path | None:
    """Return the folder where libpq looks for a user's own files; None where there is none."""
    if sys.platform == "win32":
        return Path(environ.get("APPDATA", "")) / "postgresql"
    return home(environ)
