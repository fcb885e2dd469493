"""Faults of who is let in: passwords that change, that are wrong, certificates that end."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep
from typing import Any

from psycopg_pool import PoolTimeout
from tests.certificates import make_certificates
from tests.faults.ledger import PATIENCE
from tests.faults.network import refusal
from tests.faults.sessions import idled, role, served, together
from tests.faults.stage import SIZE, Outcome, Stage, outcome, terminate
from tests.servers import PASSWORD, Server

NEW = "another one, made up for tests"
REFUSED = "FATAL:  password authentication failed"
MISSING = 'FATAL:  database "mistaken" does not exist'
CERTIFICATE = "certificate"
MOST_ATTEMPTS = 2


def rotated(stage: Stage) -> Outcome:
    """Change the password on the server and in its file, then end all sessions."""
    with role(stage.server, "") as name:
        settings, write = secret_file(stage, name)
        with stage.opened(settings) as borrow:
            together(borrow, SIZE)
            change(stage, name)
            write(NEW)
            idled(stage.server)
            terminate(stage.server)
            return served(borrow, 2 * SIZE)


def late(stage: Stage) -> Outcome:
    """Change the password on the server 5 s before the file; the time from then to a success."""
    with role(stage.server, "") as name:
        settings, write = secret_file(stage, name)
        with stage.loaded(settings) as load:
            refusals = stage.server.log_text().count(REFUSED)
            change(stage, name)
            terminate(stage.server)
            if stage.short:
                until_said(stage.server, REFUSED, after=refusals)
            else:
                sleep(5)  # how late the secret comes is the fault itself
            write(NEW)
            written = monotonic()
            recovered = load.success(written) - written
            load.everybody(written)
            return outcome(load, recovered)


def wrong_password(stage: Stage) -> Outcome:
    """Use a wrong password: how long until that is told, and with how many attempts to log in."""
    return counted(stage, REFUSED, password="mistaken")


def wrong_database(stage: Stage) -> Outcome:
    """Name a database that is not there; the same."""
    return counted(stage, MISSING, dbname="mistaken")


def counted(stage: Stage, words: str, **over: str) -> Outcome:
    """Open a pool with wrong settings; too many refusals in the server's words are wrong too."""
    before = stage.server.log_text().count(words)
    told = refusal(stage, stage.settings(**over))
    attempts = stage.server.log_text().count(words) - before
    many = () if 1 <= attempts <= MOST_ATTEMPTS else (f"{attempts} attempts to log in",)
    return Outcome(told.seconds, told.errors, told.wrong + many)


def expired(stage: Stage) -> Outcome:
    """Let the certificate expire, and renew it; the time from then to a success."""
    server, certificates = stage.server, make_certificates(stage.folder)
    server.set_tls(certificates.server, certificates.ca)
    server.reload()
    over = {"sslmode": "verify-full", "sslrootcert": str(certificates.ca), "pool": {"timeout": 1}}
    with stage.loaded(stage.settings(**over)) as load:
        server.set_tls(certificates.expired, certificates.ca)
        server.reload()
        terminate(server)
        load.told(tells_why)
        server.set_tls(certificates.server, certificates.ca)
        server.reload()
        renewed = monotonic()
        recovered = load.success(renewed) - renewed
        load.everybody(renewed)
        told = any(CERTIFICATE in str(error) for error in load.errors())
        result = outcome(load, recovered)
    untold = () if told else ("no error told that the certificate has expired",)
    return Outcome(result.seconds, result.errors, result.wrong + untold)


def until_said(server: Server, words: str, *, after: int) -> None:
    """Wait until the server has said something once more than it had."""
    deadline = monotonic() + PATIENCE
    while server.log_text().count(words) <= after:
        assert monotonic() < deadline, f"never said: {words}"
        sleep(0.02)


def tells_why(error: Exception) -> bool:
    """Say whether an error is about the certificate, or about nothing that could be known."""
    return CERTIFICATE in str(error) or isinstance(error, PoolTimeout)


def change(stage: Stage, name: str) -> None:
    """Give the role the new password, on the server."""
    stage.server.sql(f"ALTER ROLE {name} PASSWORD '{NEW}'")


def secret_file(stage: Stage, name: str) -> tuple[dict[str, Any], Callable[[str], None]]:
    """Return settings whose password is in a file, and what writes another one into it."""
    file = stage.folder / "password"
    new = stage.folder / "new"

    def write(password: str) -> None:
        new.write_text(password, encoding="utf-8")
        new.replace(file)

    write(PASSWORD)
    return stage.settings(user=name, password={"from_file": str(file)}), write
