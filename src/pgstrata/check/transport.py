"""Transport: whether the connection is encrypted, and whether the server has to prove who it is.

What is an error in a protected environment is a step milder elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator

from pgstrata.check.scope import Connection, Found, Rule, Unknown, each
from pgstrata.model import Severity
from pgstrata.schema.libpq import keywords

_OPTIONAL = ("disable", "allow", "prefer")
_SSLMODE = "connection_settings.sslmode"
_HOST = "connection_settings.host"
_NEAR = (_HOST, "connection_settings.hostaddr", "connection_settings.service")
_BINDING = "connection_settings.channel_binding"
_ROOT = "connection_settings.sslrootcert"
_GIVING_AWAY = ("password", "md5")


def tls_optional(connection: Connection) -> Iterator[Found]:
    """Find connections that may go over the network in clear text."""
    if connection.remote and sslmode(connection) in _OPTIONAL:
        said = connection.keyword("sslmode")
        what = f"sslmode {said}" if said else "sslmode is not set, so libpq's prefer counts, which"
        message = f"{what} {'never encrypts' if said == 'disable' else 'may end in clear text'}"
        severity: Severity = "error" if connection.protected else "warning"
        yield connection.found(
            _SSLMODE, message, *_NEAR, hint="sslmode: verify-full", severity=severity
        )


def tls_unverified(connection: Connection) -> Iterator[Found]:
    """Find connections that are encrypted, but do not ask the server for a proof of who it is."""
    mode = sslmode(connection)
    if connection.remote and mode in ("require", "verify-ca"):
        gap = "any certificate" if mode == "require" else "the certificate of any host"
        severity: Severity = "error" if connection.protected else "warning"
        yield connection.found(
            _SSLMODE,
            f"sslmode {mode} accepts {gap}",
            hint="sslmode: verify-full",
            severity=severity,
        )


def no_root_certificate(connection: Connection) -> Iterator[Found | Unknown]:
    """Find connections that verify the server by whatever this machine's home folder holds."""
    mode = sslmode(connection)
    verifies = mode in ("verify-ca", "verify-full")
    if connection.remote and verifies and not connection.keyword("sslrootcert"):
        found = connection.found(
            _SSLMODE,
            f"sslmode {mode} without sslrootcert depends on ~/.postgresql/root.crt",
            hint="sslrootcert: system, or the path of a CA file",
            severity="warning" if connection.protected else "info",
        )
        yield from connection.undecided(_ROOT) or (found,)


def no_channel_binding(connection: Connection) -> Iterator[Found | Unknown]:
    """Find passwords that a server in between could be given."""
    available = [name for name in ("channel_binding", "require_auth") if name in keywords()]
    if not available or not connection.remote or sslmode(connection) in _OPTIONAL:
        return
    binds = connection.keyword("channel_binding") == "require"
    if not (binds or _keeps_password(connection)) and connection.keyword("password"):
        found = connection.found(
            _BINDING,
            "the client would answer any kind of question for the password",
            "connection_settings.require_auth",
            "connection_settings.password",
            hint="channel_binding: require, or require_auth: scram-sha-256",
            severity="warning" if connection.protected else "info",
        )
        yield from connection.undecided(_BINDING) or (found,)


def _keeps_password(connection: Connection) -> bool:
    """Tell whether ``require_auth`` allows no method that gives away the password or its MD5 sum.
    Its methods are those that are allowed, or, each with a ``!``, those that are not.
    """
    said = str(connection.keyword("require_auth") or "")
    methods = set(said.split(","))
    if said.startswith("!"):
        return {f"!{method}" for method in _GIVING_AWAY} <= methods
    return bool(said) and not methods & set(_GIVING_AWAY)


def sslmode(connection: Connection) -> str:
    """Return the sslmode that counts: libpq's own default is prefer."""
    return str(connection.keyword("sslmode") or "prefer")


RULES = (
    Rule(
        "tls-optional",
        "error",
        each(tls_optional, _SSLMODE),
        what="`sslmode` is `disable`, `allow` or `prefer`, or not set, which is `prefer`, for a"
        " host that is another machine, as one that only a service file names is taken to be. A"
        " warning where the environment is not protected.",
        why="`prefer` falls back to clear text without a word: whoever can drop a packet reads the"
        " password and all data.",
        remedy="`sslmode: verify-full`, with `sslrootcert: system` or the path of a CA file.",
    ),
    Rule(
        "tls-unverified",
        "error",
        each(tls_unverified, _SSLMODE),
        what="`sslmode` is `require` or `verify-ca`, for a host that is another machine. A warning"
        " where the environment is not protected.",
        why="The connection is encrypted, but to whom is not known: `require` takes any"
        " certificate, `verify-ca` that of any host.",
        remedy="`sslmode: verify-full`, with `sslrootcert: system` or the path of a CA file.",
    ),
    Rule(
        "no-root-certificate",
        "warning",
        each(no_root_certificate, _SSLMODE),
        what="The server's certificate is verified, but `sslrootcert` is not set.",
        why="libpq then needs `~/.postgresql/root.crt` on every machine that connects, and refuses"
        " to connect where it is missing.",
        remedy="`sslrootcert: system` for a certificate of a public CA, else the path of the CA's.",
    ),
    Rule(
        "no-channel-binding",
        "warning",
        each(no_channel_binding, _SSLMODE),
        what="A password is used, `channel_binding` is not `require`, and `require_auth` is not set"
        " or allows `password` or `md5`.",
        why="A server that asks for the password in clear text, or for its MD5 sum, gets it.",
        remedy="`channel_binding: require`; behind a pooler that ends TLS,"
        " `require_auth: scram-sha-256`.",
    ),
)
