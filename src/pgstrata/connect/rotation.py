"""A role's new password, on the server and in its store: both, or neither.

The new password is staged in the store first, where nothing reads it, and taken over last. So a
process that dies at any point loses no password: what is staged is either the server's, and can be
taken over, or not, and can be dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import NamedTuple

import psycopg
from psycopg import sql

from pgstrata.connect.connection import Connection
from pgstrata.connect.conninfo import Conninfo, conninfo
from pgstrata.errors import PARTIAL, PgstrataError
from pgstrata.model import Config, Secret


class HalfRotatedError(PgstrataError):
    """The server and the store may have different passwords. The message says which has which."""

    exit_code = PARTIAL


class Staging(NamedTuple):
    """How a store takes a new value: where nothing reads it yet, for good, or not at all."""

    stage: Callable[[Secret], object]
    commit: Callable[[], object]
    drop: Callable[[], object]
    words: str


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
