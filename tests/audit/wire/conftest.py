"""Servers that answer, and one that does not."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from tests.servers import Server


def parameters(server: Server, **over: str) -> dict[str, str]:
    """Return libpq's parameters for the superuser over TCP, or as given."""
    where = {"host": "127.0.0.1", "port": str(server.port), "dbname": "postgres"}
    return {**where, "user": server.superuser, **over}


@contextmanager
def answering(answer: bytes | None, *, reset: bool = False) -> Iterator[dict[str, str]]:
    """Listen, and answer what comes first with these bytes; never, where there are none. What comes
    next may be answered with a ``reset`` of the connection.
    """
    done = threading.Event()

    def serve() -> None:
        with listener.accept()[0] as connection:
            if answer is None:
                done.wait(60)
            else:
                connection.recv(1000)
                connection.sendall(answer)
            if reset:
                connection.recv(1000)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        port = str(listener.getsockname()[1])
        yield {"host": "127.0.0.1", "port": port, "user": "me", "dbname": "app"}
        done.set()
        thread.join(60)


@pytest.fixture
def logged(tls_server: Server) -> Callable[[], str]:
    """Return a function that returns what the server has logged since."""
    before = len(tls_server.log_text())
    return lambda: tls_server.log_text()[before:]
