"""Clients of a ledger over HTTP, which count what they were told is committed."""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.servers import PASSWORD, Server
from typing_extensions import Self

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
CLIENTS = 50
PATIENCE = 240  # seconds; on a quiet machine all takes about three
PORT = re.compile(r"http://127\.0\.0\.1:(\d+)")


def variables(server: Server, database: str, **others: str) -> dict[str, str]:
    """Return the variables that lead the examples' project to a test server."""
    settings = {
        "HOST": server.host,
        "PORT": str(server.port),
        "USER": server.superuser,
        "DBNAME": database,
        "PASSWORD": PASSWORD,
    }
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT / "src"),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PGSTRATA_PROJECT": str(EXAMPLES),
        "PGSTRATA_LOCAL": "false",
        **{f"PGSTRATA_CONNECTION_SETTINGS__{name}": text for name, text in settings.items()},
        **others,
    }


@contextmanager
def serving(
    command: Sequence[str], folder: Path, environ: Mapping[str, str], log: Path
) -> Iterator[int]:
    """Run an HTTP server, and yield the port that its log tells; end it as an orchestrator does."""
    with running(command, folder, environ, log) as process:
        yield _port(process, log)


@contextmanager
def running(
    command: Sequence[str], folder: Path, environ: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a module of Python; SIGTERM at the end gives it and its workers the time to end."""
    with (
        log.open("w") as file,
        subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder,
            env=environ,
            stdout=file,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            finally:
                process.kill()


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        if found := PORT.search(log.read_text()):
            return int(found[1])
        time.sleep(0.05)
    raise AssertionError(f"it does not serve: {log.read_text()}")


class Clients:
    """Fifty clients that add entries one after the other, and repeat what was not answered by 200.

    ``path`` has places for an entry's id. ``answered`` are the ids that the application says it
    has; ``refused`` counts all other answers.
    """

    def __init__(self, port: int, path: str) -> None:
        self.port, self.path = port, path
        self.answered: list[uuid.UUID] = []
        self.refused = 0
        self.rounds = [0] * CLIENTS
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._add, args=(n,)) for n in range(CLIENTS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def all_go_on(self) -> None:
        """Wait until each client has had three more answers. ``AssertionError`` where not."""
        wanted = [count + 3 for count in self.rounds]
        until = time.monotonic() + PATIENCE
        while any(now < goal for now, goal in zip(self.rounds, wanted, strict=True)):
            assert time.monotonic() < until, (self.rounds, wanted)
            time.sleep(0.05)

    def _add(self, number: int) -> None:
        while not self._stop.is_set():
            entry = uuid.uuid4()
            while not self._put(entry):
                self.refused += 1
                if self._stop.wait(0.1):
                    return
            self.answered.append(entry)
            self.rounds[number] += 1

    def _put(self, entry: uuid.UUID) -> bool:
        try:
            return ask(self.port, "PUT", self.path.format(entry))[0] == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False


def ask(port: int, method: str, path: str) -> tuple[int, bytes]:
    """Return the status and the body that the application answers."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        client.request(method, path)
        answer = client.getresponse()
        return answer.status, answer.read()
    finally:
        client.close()
