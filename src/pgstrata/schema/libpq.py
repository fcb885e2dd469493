"""What the installed libpq knows: asked of libpq itself, so that a newer one brings its new
keywords along.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import ModuleType

from pgstrata.errors import LibpqMissingError
from pgstrata.schema.keys import CONNECTION, Key

# Keys of connection_settings that libpq has never heard of.
OURS = ("url", "autocommit", "client_deadline", "prepared_statements")
_UNSAID = {  # defaults that libpq does not say, and which cannot be given empty
    "sslcertmode": "allow",
    "min_protocol_version": "3.0",
    "max_protocol_version": "latest",
}
_LOOKED_UP = ("hostaddr", "service", "servicefile", "passfile")  # in files, or on the network


@dataclass(frozen=True, slots=True)
class Keyword:
    """One connection keyword as libpq describes it."""

    name: str
    variable: str
    compiled: str
    secret: bool


@cache
def keywords() -> dict[str, Keyword]:
    """Return libpq's own list of connection keywords, by name.

    libpq marks what must be hidden with a star. Both SCRAM keys stand in for a password and are not
    marked, so they are added.
    """
    return {
        option.keyword.decode(): Keyword(
            option.keyword.decode(),
            (option.envvar or b"").decode(),
            (option.compiled or b"").decode(),
            option.dispchar == b"*" or option.keyword.startswith(b"scram_"),
        )
        for option in _pq().Conninfo.get_defaults()
    }


@cache
def connection_keys() -> dict[str, Key]:
    """Return the keys of ``connection_settings``: this project's own, and every keyword of the
    libpq in use.
    """
    keys = {name: CONNECTION[name] for name in OURS}
    for name, keyword in keywords().items():
        known = CONNECTION.get(name) or Key(name, "text", "A keyword of the installed libpq.")
        keys[name] = replace(known, secret=known.secret or keyword.secret)
    return keys


def parse_url(url: str) -> dict[str, str] | str:
    """Return the keywords that a connection URL stands for, or why it is none.

    The reason is returned and not raised, and holds no part of the URL: libpq's own messages quote
    what they cannot read, which in a malformed URL may be the rest of the password.
    """
    if not url.startswith(("postgresql://", "postgres://")):
        return "a URL begins with postgresql:// or postgres://"
    pq = _pq()
    try:
        options = pq.Conninfo.parse(url.encode())
    except Exception:  # noqa: BLE001  # psycopg's error quotes the URL
        return "not a PostgreSQL URL"
    values = {option.keyword.decode(): option.val.decode() for option in options if option.val}
    # libpq ends the user part at the first @ or /, so an unescaped one leaves its tracks further
    # on.
    if any(mark in values.get(name, "") for name in ("host", "dbname") for mark in "@ "):
        return "not a PostgreSQL URL: it has an @ or a space too many"
    return values


def complain(settings: Mapping[str, str]) -> str:
    """Return libpq's own complaint about the values of these keywords, or nothing.

    libpq checks them before it opens a connection, so it is given a Unix socket that cannot exist,
    one for each host, and asked to connect: nothing is looked up and nothing is sent. No secret may
    be among the settings. The variables of this process do not count: whoever wants to hear about
    them puts them among the settings.
    """
    message = _asked(settings)
    return "" if message == complain_of_service() else message


def complain_of_service() -> str:
    """Return libpq's complaint about the service that this process's variables name, or nothing.

    Where it has one, it answers no other question.
    """
    return _asked({}) if os.environ.get("PGSERVICE") else ""


def _asked(settings: Mapping[str, str]) -> str:
    hosts = settings.get("host") or settings.get("hostaddr") or "x"
    nowhere = ",".join("/nonexistent" for _ in hosts.split(","))
    given = _without_surroundings(settings) | {
        name: text
        for name, text in settings.items()
        if name in keywords() and name not in _LOOKED_UP
    }
    if given.get("gssencmode") == "require":  # which libpq refuses over any Unix socket
        del given["gssencmode"]
    pq = _pq()
    # Given empty, hostaddr keeps PGHOSTADDR from making this a connection after all.
    given |= {"host": nowhere, "hostaddr": "", "passfile": "/nonexistent"}
    attempt = pq.PGconn.connect_start(make_conninfo(given).encode())
    message: str = attempt.error_message.decode(errors="replace").strip()
    attempt.finish()
    return "" if "/nonexistent" in message else message


def _without_surroundings(settings: Mapping[str, str]) -> dict[str, str]:
    """Return libpq's defaults for all keywords that a variable of this process would set."""
    # libpq itself raises the sslmode for the system's certificates.
    system = settings.get("sslrootcert") == "system"
    own = _UNSAID | ({"sslmode": "verify-full"} if system else {})
    return {
        name: own.get(name, keyword.compiled)
        for name, keyword in keywords().items()
        if keyword.variable in os.environ and name not in _LOOKED_UP
    }


def make_conninfo(settings: Mapping[str, str]) -> str:
    """Return a conninfo string with every value quoted as libpq's grammar asks."""
    quoted = {
        name: "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
        for name, text in settings.items()
    }
    return " ".join(f"{name}={text}" for name, text in quoted.items())


def require() -> None:
    """Raise ``LibpqMissingError`` where there is no libpq, before psycopg says so in its words."""
    _pq()


def version() -> int:
    """Return libpq's version as one number, e.g. 180006 for 18.6."""
    return int(_pq().version())


def _pq() -> ModuleType:
    try:
        from psycopg import pq
    except ImportError as error:
        raise LibpqMissingError(
            "psycopg finds no libpq on this machine",
            hint='pip install "pgstrata[binary]", or install libpq with the system\'s packages',
        ) from error
    return pq
