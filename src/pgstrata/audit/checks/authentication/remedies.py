"""What lets the program in where the server's answer is known to be no."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pgstrata.audit.checks.authentication.known import known
from pgstrata.audit.checks.authentication.simulated import Answer, file_of
from pgstrata.audit.hba import Known, suggest
from pgstrata.audit.model import Fix
from pgstrata.audit.remedy import for_client, for_server
from pgstrata.audit.view import View
from pgstrata.statements import identifier, literal

VERIFY = "SELECT * FROM pg_hba_file_rules;"
LINE_MISSING = frozenset(("no_entry", "reject"))
_ASKED = frozenset(("password", "md5", "scram"))


def nearest(tried: Sequence[Answer]) -> Answer:
    """Return the attempt that is closest to success: one for which there is a line, if any."""
    return next((one for one in tried if LINE_MISSING.isdisjoint(one.requests)), tried[0])


def remedies(view: View, refused: Answer) -> tuple[str, tuple[Fix, ...]]:
    """Return what is expected, and the fixes, of an attempt that pg_hba.conf, or the method of its
    line, refuses. Raises ``UnreadError``.
    """
    if not LINE_MISSING.isdisjoint(refused.requests):
        return _line(view, refused)
    return next(_other(view, refused))


def _line(view: View, refused: Answer) -> tuple[str, tuple[Fix, ...]]:
    facts = known(view)
    missing = suggest(file_of(view), refused.attempt, facts)
    place = missing.place if missing.before else "at the end of pg_hba.conf"
    statement = f"{missing.line}  -- {place}; then SELECT pg_reload_conf();"
    fix = Fix(statement, "reload", VERIFY)
    user = refused.attempt.user
    return missing.line, (fix, renewed(user)) if _has_to_be_set(facts, user) else (fix,)


def _other(view: View, refused: Answer) -> Iterator[tuple[str, tuple[Fix, ...]]]:
    """Yield what helps where there is a line, the most likely first."""
    user = refused.attempt.user
    if "no_client_ca" in refused.requests:
        yield "ssl_ca_file", for_server(view, "ssl_ca_file", "root.crt")
    if "no_certificate" in refused.requests:
        line = f"connection_settings: {{sslcert: …, sslkey: …}}, for the role {user}"
        yield "a certificate of the server's ssl_ca_file", (for_client(view, line),)
    if not _ASKED.isdisjoint(refused.requests) and _has_to_be_set(known(view), user):
        yield "a password that can be used", (renewed(user),)
    where = refused.rule.place if refused.rule else "pg_hba.conf"
    statement = f"-- a line of pg_ident.conf that leads to {user}, and map= in {where}"
    yield f"whoever comes may be {user}", (Fix(statement, "reload", VERIFY),)


def _has_to_be_set(facts: Known, user: str) -> bool:
    """Tell whether the password is known to be of no use under scram-sha-256."""
    return facts.password_kinds.get(user) in ("md5", "none")


def renewed(user: str) -> Fix:
    """Return how to set the same password again, so that it is kept for SCRAM."""
    verify = f"SELECT left(rolpassword, 6) FROM pg_authid WHERE rolname = {literal(user)};"  # noqa: S608  # is printed, never run
    statement = f"SET password_encryption = 'scram-sha-256';  \\password {identifier(user)}"
    return Fix(statement, "new sessions", verify)
