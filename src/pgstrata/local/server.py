"""Start, stop and find the embedded PostgreSQL of a project.

It listens on a free port of 127.0.0.1 only. Every user of the machine can reach that, so it asks
for a password, which only the owner of the project's state directory can read.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pgstrata.errors import LocalServerError
from pgstrata.local.account import unprivileged_account
from pgstrata.local.cluster import HOST, USER, launch, make_cluster, shut_down
from pgstrata.local.directory import locked, make_private, read_password, state_directory
from pgstrata.local.installation import bindir, not_installed, reachable
from pgstrata.model import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class LocalServer:
    """A running server: its major version, and the state directory of its project."""

    version: int
    pid: int
    host: str
    port: int
    user: str
    directory: Path
    password: Secret = field(compare=False)

    def keywords(self, dbname: str) -> dict[str, str]:
        """Return all that libpq needs to connect; the password stays in its file.

        A developer's ``PGHOSTADDR`` and ``PGPASSWORD`` must not lead elsewhere: an empty password
        sends libpq to the file.
        """
        return {
            "host": self.host,
            "hostaddr": self.host,
            "port": str(self.port),
            "user": self.user,
            "dbname": dbname,
            "password": "",
            "passfile": str(self.directory / "password"),
            "sslmode": "disable",
        }


def start(
    project: Path, *, version: int | None = None, environ: Mapping[str, str] = os.environ
) -> LocalServer:
    """Return the project's server; start it where it is not running, make it where there is none.

    ``version`` is a major version of PostgreSQL: by default that of the data, or else the newest.
    Any number of processes and threads may call this at once; they get the same server.

    Raises ``LocalServerError`` where PostgreSQL is not installed, does not start, or the data are
    of another version.
    """
    directory, account = state_directory(project, environ), unprivileged_account()
    make_private(directory, account)
    with locked(directory):
        version = _check_version(directory / "data", version)
        server = _running(directory)
        if server is None:
            programs = reachable(bindir(version), account, directory.parent)
            if not (directory / "data").exists():
                make_cluster(programs, directory, account)
            launch(programs, directory / "data", account)
            server = _running(directory)
    if server is None:
        raise LocalServerError(
            "PostgreSQL ended right after its start",
            hint=f"its log is {directory / 'data' / 'server.log'}",
        )
    return server


def stop(project: Path, *, environ: Mapping[str, str] = os.environ) -> bool:
    """Stop the project's server and wait for its end. False where none was running.

    Open transactions are rolled back. Raises ``LocalServerError`` where it does not stop.
    """
    directory = state_directory(project, environ)
    if not directory.is_dir():
        return False
    with locked(directory):
        server = _running(directory)
        if server is None:
            return False
        account = unprivileged_account()
        programs = reachable(bindir(server.version), account, directory.parent)
        shut_down(programs, directory / "data", account)
    return True


def status(project: Path, *, environ: Mapping[str, str] = os.environ) -> LocalServer | None:
    """Return the project's server where one is running."""
    return _running(state_directory(project, environ))


def ensure_database(server: LocalServer, name: str) -> None:
    """Create the database where it is missing. It does no harm when several do so at once.

    Raises ``LocalServerError`` where the server refuses.
    """
    import psycopg
    from psycopg import conninfo, errors, sql

    target = conninfo.make_conninfo("", **server.keywords("postgres"))
    try:
        with psycopg.connect(target, autocommit=True) as connection:
            found = connection.execute("SELECT FROM pg_database WHERE datname = %s", [name])
            if found.rowcount == 0:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    except (errors.DuplicateDatabase, errors.UniqueViolation):
        pass  # another process was first
    except psycopg.Error as error:
        raise LocalServerError(f"the database {name!r} cannot be created: {error}") from None


def _running(directory: Path) -> LocalServer | None:
    """Return the server that ``postmaster.pid`` speaks of, if it is still that server.

    The lines of that file: pid, data directory, start time, port, … (PostgreSQL's miscadmin.h).
    """
    data = directory / "data"
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        pid, port = int(lines[0]), int(lines[3])
        version = int((data / "PG_VERSION").read_text())
    except (FileNotFoundError, IndexError, ValueError):
        return None
    except OSError as error:
        raise LocalServerError(f"{data} cannot be read: {error.strerror}") from None
    if not _serves(pid, data):
        return None
    password = Secret(lambda: read_password(directory), source=f"file {directory / 'password'}")
    return LocalServer(version, pid, HOST, port, USER, directory, password)


def _serves(pid: int, data: Path) -> bool:
    """Say whether the process is PostgreSQL at work on these data.

    After a crash the file with the pid stays behind, and the pid may be another process's by now.
    """
    try:
        import psutil  # type: ignore[import-untyped]  # it carries no annotations
    except ImportError:
        raise not_installed() from None
    try:
        command = psutil.Process(pid).cmdline()
    except psutil.Error:  # gone, a zombie, or another user's
        return False
    return Path(command[0]).stem == "postgres" and data in map(Path, command) if command else False


def _check_version(data: Path, wanted: int | None) -> int | None:
    """Return the version to start: that of the data where there are any."""
    try:
        existing = int((data / "PG_VERSION").read_text())
    except FileNotFoundError:
        return wanted
    if wanted in (None, existing):
        return existing
    raise LocalServerError(
        f"the local server's data are of PostgreSQL {existing}, not {wanted}",
        hint=f"leave the version out, or delete {data.parent} with all its data",
    )
