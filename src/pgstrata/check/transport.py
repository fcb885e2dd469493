"""Transport: whether the connection is encrypted, and whether the server has to prove who it is.

What is an error in a protected environment is a step milder elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator

from pgstrata.check.scope import Connection, Found, Rule, each
from pgstrata.model import Severity
from pgstrata.schema.libpq import keywords

_OPTIONAL = ("disable", "allow", "prefer")
_SSLMODE = "connection_settings.sslmode"
_HOST = "connection_settings.host"
_NEAR = (_HOST, "connection_settings.hostaddr", "connection_settings.service")
_BINDING = "connection_settings.channel_binding"


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


def no_root_certificate(connection: Connection) -> Iterator[Found]:
    """Find connections that verify the server by whatever this machine's home folder holds."""
    mode = sslmode(connection)
    verifies = mode in ("verify-ca", "verify-full")
    if connection.remote and verifies and not connection.keyword("sslrootcert"):
        yield connection.found(
            _SSLMODE,
            f"sslmode {mode} without sslrootcert depends on ~/.postgresql/root.crt",
            hint="sslrootcert: system, or the path of a CA file",
            severity="warning" if connection.protected else "info",
        )


def no_channel_binding(connection: Connection) -> Iterator[Found]:
    """Find passwords that a server in between could be given."""
    available = [name for name in ("channel_binding", "require_auth") if name in keywords()]
    if not available or not connection.remote or sslmode(connection) in _OPTIONAL:
        return
    binds = connection.keyword("channel_binding") == "require" or connection.keyword("require_auth")
    if not binds and connection.keyword("password"):
        yield connection.found(
            _BINDING,
            "the client would answer any kind of question for the password",
            "connection_settings.password",
            hint="channel_binding: require, or require_auth: scram-sha-256",
            severity="warning" if connection.protected else "info",
        )


def sslmode(connection: Connection) -> str:
    """Return the sslmode that counts: libpq's own default is prefer."""
    return str(connection.keyword("sslmode") or "prefer")


RULES = (
    Rule(
        "tls-optional",
        "error",
        each(tls_optional),
        what="`sslmode` is `disable`, `allow` or `prefer`, or not set, which is `prefer`, for a"
        " host that is another machine. A warning where the environment is not protected.",
        why="`prefer` falls back to clear text without a word: whoever can drop a packet reads the"
        " password and all data.",
        remedy="`sslmode: verify-full`, with `sslrootcert: system` or the path of a CA file.",
    ),
    Rule(
        "tls-unverified",
        "error",
        each(tls_unverified),
        what="`sslmode` is `require` or `verify-ca`, for a host that is another machine. A warning"
        " where the environment is not protected.",
        why="The connection is encrypted, but to whom is not known: `require` takes any"
        " certificate, `verify-ca` that of any host.",
        remedy="`sslmode: verify-full`, with `sslrootcert: system` or the path of a CA file.",
    ),
    Rule(
        "no-root-certificate",
        "warning",
        each(no_root_certificate),
        what="The server's certificate is verified, but `sslrootcert` is not set.",
        why="libpq then needs `~/.postgresql/root.crt` on every machine that connects, and refuses"
        " to connect where it is missing.",
        remedy="`sslrootcert: system` for a certificate of a public CA, else the path of the CA's.",
    ),
    Rule(
        "no-channel-binding",
        "warning",
        each(no_channel_binding),
        what="A password is used, and neither `channel_binding: require` nor `require_auth` is"
        " set.",
        why="A server that asks for the password in clear text, or for its MD5 sum, gets it.",
        remedy="`channel_binding: require`; behind a pooler that ends TLS,"
        " `require_auth: scram-sha-256`.",
    ),
)
