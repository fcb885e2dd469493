"""One connection of an environment as the variables and private files of another program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from pgstrata import local
from pgstrata.connect.conninfo import conninfo
from pgstrata.errors import ConfigError, PgstrataError, UsageError
from pgstrata.model import Config, Secret, Setting
from pgstrata.render import libpq
from pgstrata.schema.libpq import keywords as libpq_keywords

Target: TypeAlias = Mapping[str, Setting]

SERVICE = "pgstrata"
# Those that are no connection keywords: where to look for a service, and three session parameters,
# which would win over the configured ones.
_MORE = (
    *("PGSERVICEFILE", "PGSYSCONFDIR", "PGREALM", "PGREQUIRESSL"),
    *("PGDATESTYLE", "PGTZ", "PGGEQO"),
)
_FROM_A_TERMINAL = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "PWD", "TERM", "COLORTERM", "NO_COLOR", "TZ"),
    *("LANG", "LANGUAGE", "TMPDIR", "SSH_AUTH_SOCK"),
    *("SYSTEMROOT", "SYSTEMDRIVE", "COMSPEC", "PATHEXT", "WINDIR"),
    *("TEMP", "TMP", "APPDATA", "LOCALAPPDATA", "USERPROFILE", "USERNAME"),
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Variables, and texts of files by the variable that names them; ``left_out`` in words."""

    variables: Mapping[str, str]
    files: Mapping[str, Secret]
    left_out: tuple[str, ...] = ()


def surroundings(config: Config, connection: str) -> Surroundings:
    """Return what a libpq program needs to connect with no arguments; starts a local server.

    What libpq would fill in by itself is written out, as ``show`` shows it: left to libpq, a
    service file would win over the variables. Passwords are in files only, so no list of processes
    shows one, and what libpq has no variable for is in a service file.

    Raises ``ConfigError`` for a secret or service that cannot be had, ``UsageError`` for a value
    that no variable or file can hold, ``LocalServerError``.
    """
    result = _attempt(config, connection)
    if isinstance(result, PgstrataError):
        raise result
    return result


def _attempt(config: Config, connection: str) -> Surroundings | PgstrataError:
    """Return an error without the frames that hold secrets, which a traceback might show."""
    try:
        return _surroundings(config, connection)
    except PgstrataError as error:
        return error.with_traceback(None)
    except UnicodeError:
        return UsageError("a value is not Unicode text, and no file can hold it")


def _surroundings(config: Config, connection: str) -> Surroundings:
    made_with = conninfo(config, connection, "normal")
    keywords = {
        name: text
        for name, text in made_with.resolve().items()
        if not libpq.is_own_default(config.connection(connection), name)
    }
    if made_with.local is not None:
        keywords |= _local_server(made_with.local, keywords.get("dbname", "postgres"))
    else:
        keywords = _filled_in(config.connection(connection), keywords) | keywords
    files = {}
    if password := keywords.pop("password", ""):
        keywords.pop("passfile", None)
        files["PGPASSFILE"] = Secret(libpq.pgpass(keywords, password))
    variables, rest = libpq.variables(keywords)
    if rest:
        variables["PGSERVICE"] = SERVICE
        files["PGSERVICEFILE"] = Secret(libpq.service(SERVICE, rest))
    left_out = tuple(f"{name}: left to the pooler" for name in made_with.session or ())
    return Surroundings(variables, files, left_out)


def inherited(environ: Mapping[str, str], *, pristine: bool) -> dict[str, str]:
    """Return the variables that the program gets from its surroundings: none of libpq's own, and
    with ``pristine`` only those that any program in a terminal needs.
    """
    own = {keyword.variable for keyword in libpq_keywords().values()} | {*_MORE}
    return {
        name: text
        for name, text in environ.items()
        if name.upper() not in own
        if not pristine or name.upper() in _FROM_A_TERMINAL or name.startswith("LC_")
    }


def _local_server(project: Path, dbname: str) -> dict[str, str]:
    server = local.start(project)
    local.ensure_database(server, dbname)
    return server.keywords(dbname)


def _filled_in(target: Target, keywords: dict[str, str]) -> dict[str, str]:
    """Return what libpq would fill in, and take the service that it is from out of ``keywords``."""
    service = keywords.pop("service", None)
    if service is not None and not any(map(_is_of_service, target.values())):
        raise ConfigError(
            f"service {service!r} is in no service file",
            hint="PGSERVICEFILE names one; ~/.pg_service.conf is the one by default",
        )
    found = {}
    for key, setting in target.items():
        section, _, name = key.partition(".")
        if section == "connection_settings" and setting.origin.layer == "libpq":
            value = setting.value
            found[name] = value.reveal() if isinstance(value, Secret) else str(value)
    return {name: text for name, text in found.items() if name not in ("service", "servicefile")}


def _is_of_service(setting: Setting) -> bool:
    # Of what libpq fills in, lines are in service files, and in a password file for passwords.
    return not setting.secret and any(
        given.origin.layer == "libpq" and given.origin.line for given in setting.stack
    )
