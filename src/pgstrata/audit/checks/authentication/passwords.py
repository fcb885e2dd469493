"""How passwords are kept, and whether client and server can use them."""

from __future__ import annotations

from collections.abc import Iterator

from pgstrata.audit.checks.authentication.known import own_kind
from pgstrata.audit.checks.authentication.remedies import renewed
from pgstrata.audit.checks.authentication.simulated import all_answers
from pgstrata.audit.model import Check, Outcome, UnreadError
from pgstrata.audit.remedy import for_client, for_server
from pgstrata.audit.view import View

_PASSWORDS = ("password", "md5", "scram-sha-256")  # the methods that use the server's own


def hash_(view: View) -> Iterator[Outcome]:
    """Compare the kept password with the line that asks for it, and with the client."""
    kind, asked = _kind(view), _method(view)
    if kind == "none":
        yield _without_any(view, asked)
        return
    if kind != "md5":
        yield Outcome("ok", f"the password of {view.user} is kept as {kind}", view.user, kind)
        return
    useless = asked == "scram-sha-256"
    yield Outcome(
        "fail" if useless else "warn",
        f"the password of {view.user} is kept as md5"
        + (", and scram-sha-256 is asked for: it cannot log in" if useless else ""),
        object=view.user,
        observed="md5",
        expected="scram-sha-256",
        key="connection_settings.password",
        fix=(renewed(view.user),),
        evidence=(f"asked for: {asked or 'unknown'}",),
    )
    demands = str(view.client.keyword("require_auth") or "")
    if view.client.keyword("channel_binding") == "require" or demands == "scram-sha-256":
        yield Outcome(
            "fail",
            f"the client agrees to SCRAM only, and the password of {view.user} is kept as md5",
            object="client",
            observed="md5",
            expected="scram-sha-256",
            key="connection_settings.channel_binding",
            fix=(renewed(view.user), for_client(view, "-- until then without channel_binding")),
        )


def _without_any(view: View, asked: str) -> Outcome:
    needed = asked in _PASSWORDS
    return Outcome(
        "fail" if needed else "ok",
        f"role {view.user} has no password" + (f", and {asked} asks for one" if needed else ""),
        object=view.user,
        observed="none",
        expected="a password" if needed else "none",
        key="connection_settings.password",
        fix=(renewed(view.user),) if needed else (),
        evidence=(f"asked for: {asked or 'unknown'}",),
    )


def _kind(view: View) -> str:
    """Return how the password is kept. Raises ``UnreadError``."""
    try:
        rows = view.rows("password_kinds")
    except UnreadError:
        if own := own_kind(view):
            return own[view.user]
        raise
    return next((row["kind"] for row in rows if row["rolname"] == view.user), "none")


def _method(view: View) -> str:
    """Return the method that the program is asked for, where that is known."""
    try:
        found = [one for tried in all_answers(view) for one in tried]
    except UnreadError:
        return ""
    methods = [one.rule.method for one in found if one.rule is not None]
    return next((name for name in methods if name != "reject"), "")


def password_encryption(view: View) -> Iterator[Outcome]:
    """Look at how the next password will be kept."""
    said = view.server("password_encryption")
    old = said.text != "scram-sha-256"
    yield Outcome(
        "warn" if old else "ok",
        f"new passwords are kept as {said.text}",
        observed=said.text,
        expected="scram-sha-256",
        fix=for_server(view, "password_encryption", "scram-sha-256") if old else (),
        evidence=(str(said),),
    )


CHECKS = (
    Check(
        "auth.hash",
        "fail",
        what="How the program's password is kept, against the method that it is asked for and what"
        " the client agrees to.",
        why="A password that is kept as md5 cannot be used where pg_hba.conf says scram-sha-256:"
        " `password authentication failed`, although it is right.",
        verify="SELECT rolname, left(rolpassword, 6) FROM pg_authid;  -- as a superuser",
        fix="Set the same password again, with password_encryption = 'scram-sha-256'.",
        ignore="While clients that know no SCRAM are replaced.",
        cannot_see="Hashes, for whoever is no superuser; that a method md5 is answered by an md5"
        " hash is seen by a probe.",
        source="PostgreSQL documentation, Password Authentication; PostgreSQL 18 release notes.",
        find=hash_,
    ),
    Check(
        "auth.password_encryption",
        "warn",
        what="password_encryption is not scram-sha-256.",
        why="The next password that is set is kept as md5, which whoever reads it can log in with.",
        verify="SHOW password_encryption;",
        fix="ALTER SYSTEM SET password_encryption = 'scram-sha-256', and reload.",
        ignore="While clients that know no SCRAM are replaced.",
        cannot_see="How passwords are kept now: see auth.hash.",
        source="PostgreSQL documentation, Connections and Authentication: password_encryption.",
        find=password_encryption,
    ),
)
