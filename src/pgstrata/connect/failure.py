"""The errors of connecting. They are psycopg's errors too, so that an existing ``except`` keeps
working.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, TypeAlias

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout

from pgstrata.connect import translations
from pgstrata.connect.conninfo import Conninfo
from pgstrata.errors import PgstrataError
from pgstrata.model import Secret
from pgstrata.secrets.redact import scrub


class ConnectionFailedError(PgstrataError, psycopg.OperationalError):
    """No connection could be made. ``__cause__`` is psycopg's own error."""


class ShutDownError(PgstrataError, PoolClosed):
    """The manager was shut down, and gives out no connections any more."""


class DeadlineError(PgstrataError, psycopg.OperationalError):
    """The server was silent for longer than ``client_deadline``. The connection is closed; what it
    was asked may have been done.
    """


class PoolTimeoutError(ConnectionFailedError, PoolTimeout):
    """The pool had no connection in time. ``__cause__`` is the last attempt to connect that failed,
    if one did.
    """


Kind: TypeAlias = Literal["refused", "busy", "unreachable"]

# Names are no words: a host may be called certificates.example.com.
_NAME = re.compile(r"\"[^\"]*\"|'[^']*'|»[^«]*«|«[^»]*»")
# What a server says is told from what libpq says by its severity, in whatever language.
_SERVER = re.compile(r"(?:^|\s)[^\s:]+:  (?=\S)")
_REFUSED = re.compile(
    r"authentication failed|no password supplied|pg_hba\.conf|does not exist"
    r"|not permitted to log in|[Pp]ermission denied|requirement failed|invalid "
    r"|certificate|unknown ca|private key|channel binding|does not support|SSL was required"
    r"|not known|nor servname|No address associated|Name does not resolve",
)
_BUSY = re.compile(
    r"(is|are) starting up|shutting down|in recovery mode|not yet accepting connections"
    r"|not accepting connections|too many (clients|connections)|remaining connection slots"
    r"|no more connections allowed",
)
_UNREACHABLE = re.compile(
    r"query_wait_timeout|hot standby mode|administrator command|server login has been"
    r"|cannot connect to server",
)


def kind(error: BaseException) -> Kind:
    """Tell why an attempt to connect failed: the server refuses (a password, a database, a name
    that leads nowhere), it has no time or room yet, or it cannot be reached.

    libpq does not hand on the SQLSTATE of a server that does not let one in, so the words decide.
    What a server says that is not known here counts as a refusal: it is told at once and asked
    again once a second, which does the least harm if it was something else. What libpq says that is
    not known counts as a server out of reach.
    """
    if not isinstance(error, psycopg.Error):
        return "refused"
    if isinstance(error, psycopg.errors.ConnectionTimeout):
        return "unreachable"
    return _by_state(error.sqlstate) if error.sqlstate else _by_words(str(error))


def _by_state(sqlstate: str) -> Kind:
    if sqlstate in ("57P03", "53300"):
        return "busy"
    return "unreachable" if sqlstate.startswith(("08", "57")) else "refused"


def _by_words(message: str) -> Kind:
    words = _NAME.sub("", message)
    if _REFUSED.search(words):
        return "refused"
    if _BUSY.search(words) or translations.BUSY.search(words):
        return "busy"
    if _UNREACHABLE.search(words) or translations.ENDED.search(words):
        return "unreachable"
    return "refused" if _SERVER.search(words) else "unreachable"


def shut_down() -> ShutDownError:
    """Return the error for whoever asks a manager that was shut down."""
    return ShutDownError(
        "this connection manager was shut down", hint="make a new manager to connect again"
    )


def connection_failed(made_with: Conninfo, cause: Exception) -> ConnectionFailedError:
    """Return the error for an attempt to connect that failed with ``cause``."""
    return ConnectionFailedError(
        f"cannot connect to {made_with.name}: {cause}", hint=_advice(str(cause), made_with)
    )


def pool_timeout(
    name: str, seconds: float, stats: Mapping[str, int], failure: PgstrataError | None
) -> PoolTimeoutError:
    """Return the error for a pool that had no connection within ``seconds``; ``failure`` is what
    the last attempt to make one came to, if it failed.
    """
    cause = (failure.__cause__ or failure) if failure is not None else None
    counts = (
        f"{stats.get('pool_size', 0)} of at most {stats['pool_max']} open, "
        f"{stats.get('pool_available', 0)} idle, {stats.get('requests_waiting', 0)} waiting"
    )
    # Of a function that makes the password, the words may quote it.
    why = f": {cause if isinstance(cause, psycopg.Error) else failure}" if cause else ""
    hint = (
        "the last attempt to connect failed"
        if cause
        else "connections are held too long, or max_size is too small for the load"
    )
    error = PoolTimeoutError(
        f"pool {name} had no connection within {seconds:g} s ({counts}){why}", hint=hint
    )
    error.__cause__ = cause
    return error


def again(refusal: PgstrataError) -> ConnectionFailedError:
    """Return the same failure for another of the callers that share it: with a traceback of its
    own.
    """
    error = ConnectionFailedError(str(refusal), hint=refusal.hint)
    error.__cause__ = refusal.__cause__
    return error


def scrubbed(error: Exception, made_with: Conninfo) -> Exception:
    """Return an error of the same kind and message, without a traceback, libpq's connection, or any
    secret.
    """
    shown = [value for value in made_with.keywords.values() if isinstance(value, str)]
    secrets = [value for value in made_with.keywords.values() if isinstance(value, Secret)]
    # A gap in the place of a user's name that anybody sees elsewhere would tell what was masked.
    message = scrub(str(error), [value for value in secrets if value.reveal() not in shown])
    kind = type(error) if isinstance(error, psycopg.Error) else psycopg.OperationalError
    return kind(message)


_ADVICE = (
    (
        r"hot standby mode|session is (not )?read-only",
        "no host that can be reached is what target_session_attrs asks for",
    ),
    (r"password authentication failed", "check the user and the password{password}"),
    (r"no password supplied", "set connection_settings.password, or a passfile"),
    (r"Connection refused", "is a server running there, and is the port right?"),
    (
        r"failed to resolve|translate host name|service not known|getaddrinfo failed",
        "check the spelling of the host",
    ),
    (r'database "[^"]*" does not exist', "check dbname, or create the database"),
    (r'role "[^"]*" does not exist', "check user, or create the role"),
    (r"no pg_hba\.conf entry", "the server admits no such client; see its pg_hba.conf"),
    (
        r"certificate verify failed",
        "the server's certificate has expired, or sslrootcert is not the CA that signed it",
    ),
    (r"does not match host name", "host must be a name that is in the server's certificate"),
    (r"root certificate file .* does not exist", "set sslrootcert to a CA file, or to system"),
    (r"does not support SSL|SSL was required", "the server has no TLS; sslmode asks for it"),
    (
        r"unrecognized configuration parameter",
        "this server does not know a parameter of session_settings",
    ),
    (r"invalid value for parameter", "the server refuses this value of session_settings"),
    (r"unsupported startup parameter", "a pooler stands between: say so with pooler:"),
    (r"timeout expired|timed out", "the host does not answer within connect_timeout"),
    (r"too many (clients|connections)|remaining connection slots", "the server has no free slot"),
)


def _advice(message: str, made_with: Conninfo) -> str:
    password = made_with.keywords.get("password")
    if isinstance(password, Secret):
        source = "" if password.source == "literal" else f" ({password.source})"
    else:
        source = ", which is not set here"
    matching = (hint for pattern, hint in _ADVICE if re.search(pattern, message))
    return next(matching, "").format(password=source)
