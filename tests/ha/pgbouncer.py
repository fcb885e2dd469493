"""A PgBouncer in transaction mode, before a throw-away server."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from tests.ha import nodes
from tests.servers import PASSWORD, SUPERUSER, Server

from pgstrata.local.cluster import free_port


class Bouncer:
    """A pooler of few connections; ``port`` stays the same over ``restart``."""

    host = "127.0.0.1"

    def __init__(self, server: Server, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        (self._program,) = nodes.programs("pgbouncer")
        users = nodes.private(folder / "users", f'"{SUPERUSER}" "{PASSWORD}"\n')
        self._file = nodes.private(folder / "pgbouncer.ini", _settings(server, self.port, users))
        self.start()

    def start(self) -> None:
        """Start, and wait until it listens."""
        self._process = nodes.launch([self._program, self._file], self._folder, "log")
        deadline = monotonic() + 30
        while True:
            with socket.socket() as trial:
                if trial.connect_ex((self.host, self.port)) == 0:
                    return
            assert monotonic() < deadline, (self._folder / "log").read_text()[-2000:]
            sleep(0.02)

    def stop(self) -> None:
        """Kill it, as a node that goes away."""
        self._process.kill()
        self._process.wait()


@contextmanager
def bouncing(server: Server) -> Iterator[Bouncer]:
    """Run a pooler before a server; stop and remove it at the end."""
    with nodes.home() as folder:
        bouncer = Bouncer(server, folder)
        try:
            yield bouncer
        finally:
            bouncer.stop()


def _settings(server: Server, port: int, users: Path) -> str:
    return f"""\
[databases]
* = host={server.host} port={server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
default_pool_size = 3
server_login_retry = 1
"""
