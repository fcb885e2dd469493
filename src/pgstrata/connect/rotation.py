"""A role's new password, on the server and in its store: both, or neither.

The new password is staged in the store first, where nothing reads it, and taken over last. So a
process that dies at any point loses no password: what is staged is either the server's, and can be
taken over, or not, and can be dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import replace
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from pgstrata.capacity import value_of
from pgstrata.connect.connection import Connection
from pgstrata.connect.conninfo import Conninfo, conninfo
from pgstrata.errors import PARTIAL, PgstrataError, SecretError
from pgstrata.layers.stores import PASSWORD
from pgstrata.model import Config, Secret
from pgstrata.validation import is_local


class HalfRotatedError(PgstrataError):
    """The server and the store may have different passwords. The message says which has which."""

    exit_code = PARTIAL


class Staging(NamedTuple):
    """How a store takes a new value: where nothing reads it yet, for good, or not at all."""

    stage: Callable[[Secret], object]
    commit: Callable[[], object]
    drop: Callable[[], object]
    words: str


def require_alone(config: Config, connection: str, followers: Collection[str]) -> None:
    """Raise ``SecretError`` where a new password would leave another connection with a wrong one.

    ``followers`` take theirs from the same place in the store: so they have to be of the same role,
    on the same servers. All others must not be of that role. Raises ``ConnectionFailedError`` where
    a server cannot be asked.
    """
    others = [
        n for n in config.connections if n != connection and not is_local(config.connection(n))
    ]
    place = _place(config, connection)
    elsewhere = [n for n in others if n in followers and _place(config, n) != place]
    if elsewhere:
        login = _login(config, connection)
        elsewhere = [n for n in elsewhere if login is None or _login(config, n) != login]
    if elsewhere:
        raise SecretError(
            f"{', '.join(elsewhere)} would have a wrong password: the same one in the store, for "
            "another server or role",
            hint=f"give each its own: pgstrata secret set connections.{elsewhere[0]}"
            ".connection_settings.password",
        )
    if stale := [n for n in others if n not in followers and _place(config, n) == place]:
        raise SecretError(
            f"{', '.join(stale)} would have a wrong password: the same role, and another entry for "
            "its password",
            hint="let them inherit one password",
        )


def _place(config: Config, connection: str) -> tuple[object, ...] | None:
    """Return where a connection logs in with a password, and as whom; None without a password."""
    target = config.connection(connection)
    if value_of(target, PASSWORD) is None:
        return None
    names = ("host", "hostaddr", "port", "user", "service")
    return tuple(str(value_of(target, f"connection_settings.{name}")) for name in names)


def _login(config: Config, connection: str) -> Any:
    """Return the cluster and the role that a connection leads to: a standby is of the same cluster
    by another name. None where the server does not say.
    """
    made_with = conninfo(config, connection, "normal").taken()
    with closing(Connection.connect(made_with=made_with)) as session:
        try:
            return session.execute(
                "SELECT system_identifier, session_user FROM pg_control_system()"
            ).fetchone()
        except psycopg.Error:
            return None


def rotate(config: Config, connection: str, new: Secret, store: Staging) -> None:
    """Give the role of a connection a new password, on its server and in its store.

    Only a SCRAM verifier travels: the server never sees the password, so neither do its logs.
    Raises ``ConnectionFailedError`` and ``SecretError``, when nothing has changed, and
    ``HalfRotatedError``.
    """
    old = conninfo(config, connection, "normal").taken()
    after = replace(old, keywords={**old.keywords, "password": new})
    with closing(Connection.connect(made_with=old)) as session:
        store.stage(new)
        try:
            _change(session, old, after, store)
        except BaseException:
            session.close()  # it may have the only slot that the role is allowed
            _settle(old, after, store)
            raise


def _change(session: Connection, old: Conninfo, after: Conninfo, store: Staging) -> None:
    _set_password(session, after)
    try:
        Connection.connect(made_with=after).close()
        store.commit()
    except BaseException:
        _set_password(session, old)
        raise


def _set_password(session: Connection, to: Conninfo) -> None:
    """Send the verifier of a password. Raises ``PgstrataError``, without the server's words: they
    may quote the statement.
    """
    session.rollback()
    (role,) = session.execute("SELECT session_user").fetchone() or ("",)
    statement = sql.SQL("ALTER ROLE {} PASSWORD {}").format(
        sql.Identifier(role), _verifier(session, role, to)
    )
    try:
        session.execute(statement)
        session.commit()
    except psycopg.Error as error:
        problem = f"the password of {role} could not be changed: {type(error).__name__}"
    else:
        return
    raise PgstrataError(problem, hint="may the role change its own password on this server?")


def _verifier(session: Connection, role: str, to: Conninfo) -> sql.Literal:
    """Return the SCRAM-SHA-256 verifier (RFC 5803), computed by libpq on this side."""
    password = to.keywords["password"]
    assert isinstance(password, Secret)
    encoding = session.info.encoding
    verifier = session.pgconn.encrypt_password(
        password.reveal().encode(encoding), role.encode(encoding), b"scram-sha-256"
    )
    return sql.Literal(verifier.decode(encoding))


def _settle(old: Conninfo, after: Conninfo, store: Staging) -> None:
    """Make the store say what the server says, after a failure that may have hit either."""
    if _works(old):
        store.drop()
    elif _works(after):
        store.commit()
    else:
        raise HalfRotatedError(
            f"neither the old nor the new password of {old.name} works, or the server cannot be "
            f"reached; the new one is {store.words}",
            hint="when the server answers again, take it over or drop it",
        )


def _works(made_with: Conninfo) -> bool:
    try:
        Connection.connect(made_with=made_with).close()
    except PgstrataError:
        return False
    return True
