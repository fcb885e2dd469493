"""A throw-away PgBouncer in front of a server for tests."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Literal

import pytest
from tests.servers import Server

from pgstrata.local import account
from pgstrata.local.cluster import free_port

_CONFIG = """\
[databases]
* = host=127.0.0.1 port={server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = plain
auth_file = {folder}/users
pool_mode = {mode}
logfile = {folder}/log
pidfile = {folder}/pid
ignore_startup_parameters = extra_float_digits
{conf}"""


@contextmanager
def pgbouncer(
    server: Server,
    mode: Literal["session", "transaction"],
    users: dict[str, str],
    *,
    conf: str = "",
    files: Iterable[Path] = (),
) -> Iterator[int]:
    """Run PgBouncer for these users and their passwords; give its port on 127.0.0.1.

    ``conf`` is added to its configuration, and ``files`` are copied into its ``{folder}``.

    The test is skipped, by name, where it is not installed.
    """
    program = shutil.which("pgbouncer", path=os.pathsep.join((os.environ["PATH"], "/usr/sbin")))
    if program is None:
        pytest.skip("PgBouncer is not installed")
    who = account.unprivileged_account()
    folder = Path(mkdtemp(prefix="pgstrata-pooler-")).resolve()
    try:
        port = free_port()
        texts = {
            "users": "".join(f'"{name}" "{password}"\n' for name, password in users.items()),
            "config": _CONFIG.format(
                server=server, port=port, folder=folder, mode=mode, conf=conf.format(folder=folder)
            ),
        }
        for path in files:
            shutil.copy(path, folder)
        for name, text in texts.items():
            (folder / name).write_text(text)
        for path in (folder, *folder.iterdir()):
            if who:
                who.own(path)
        done = account.run([program, "-d", folder / "config"], who)
        assert done.returncode == 0, done.stdout
        try:
            _wait_until_it_listens(port, folder / "log")
            yield port
        finally:
            _stop(folder / "pid")
    finally:
        shutil.rmtree(folder)


def _wait_until_it_listens(port: int, log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=10):
            return
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)


def _stop(pidfile: Path) -> None:
    """End it, and return when it has; it removes its pidfile last."""
    pid = int(pidfile.read_text())
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 60
    while pidfile.exists():
        assert time.monotonic() < deadline, f"PgBouncer {pid} does not end"
        time.sleep(0.02)
