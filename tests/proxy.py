"""A TCP proxy in front of a server, with the faults of real networks and balancers.

What it does may be changed while connections pass through it, from any thread.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

Address = tuple[str, int]
RESET = struct.pack("ii", 1, 0)  # SO_LINGER of no time: close() sends RST, as a dead host would


class Proxy:
    """Passes a port of 127.0.0.1 on to an address; ``host`` and ``port`` may be read.

    ``listener`` may be given, e.g. one that was made in another network namespace. ``delay`` is
    added to each piece that passes, in seconds. After a piece with ``last_words``, if there are
    any, it swallows all. ``keepalives`` end a connection whose client has vanished, as those of a
    server do.
    """

    def __init__(
        self, target: Address, listener: socket.socket | None = None, *, keepalives: bool = False
    ) -> None:
        self.target, self.delay, self.keepalives = target, 0.0, keepalives
        self._listener = listener or socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self._listener.getsockname()[:2]
        self._flows = threading.Event()
        self._flows.set()
        self.last_words = b""
        self._swallows = self._refuses = False
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._refuses = True
        with suppress(OSError):  # not on every system
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        self._flows.set()
        self._thread.join(5)

    def hang(self) -> None:
        """Stop reading: the kernel still acknowledges what comes, until its buffers are full."""
        self._flows.clear()

    def swallow(self) -> None:
        """Read and acknowledge everything, and answer nothing."""
        self._swallows = True

    def refuse(self) -> None:
        """Reset all connections, and new ones as soon as they are made."""
        self._refuses = True
        self.cut()

    def heal(self) -> None:
        """Pass everything again. What was swallowed cannot be made good: such connections end."""
        if self._swallows:
            self.cut()
        self._swallows = self._refuses = False
        self._flows.set()

    def cut(self) -> None:
        """Reset all connections; new ones pass."""
        with self._lock:
            there, self._sockets = self._sockets, set()
        for each in there:
            with suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                each.shutdown(socket.SHUT_RD)  # wakes up whoever reads from it
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.keepalives:
                    keep_alive(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._flows.wait()
        with self._lock:
            self._sockets.add(client)
        if self._refuses:
            self.cut()
            return
        try:
            server = socket.create_connection(self.target)
        except OSError:
            self._end(client)
            return
        with self._lock:
            self._sockets.add(server)
        threading.Thread(target=self._copy, args=(server, client), daemon=True).start()
        self._copy(client, server)

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                time.sleep(self.delay)
                self._flows.wait()
                if not self._swallows:
                    target.sendall(data)
                if self.last_words and self.last_words in data:
                    self.swallow()
        self._end(source)
        self._end(target)

    def _end(self, half: socket.socket) -> None:
        with self._lock:
            self._sockets.discard(half)
        with suppress(OSError):
            half.shutdown(socket.SHUT_RDWR)
        half.close()


def keep_alive(connection: socket.socket) -> None:
    """End it some seconds after its other end has vanished, where the system can do that."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 2), ("TCP_KEEPINTVL", 1), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def unanswering() -> tuple[socket.socket, list[socket.socket]]:
    """Return a listener whose backlog is full, and what fills it: a SYN to it is dropped.

    Connecting to it neither succeeds nor fails, as to an address where no host is.
    """
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    filling: list[socket.socket] = []
    while len(filling) < 16:
        client = socket.socket()
        client.settimeout(0.2)
        filling.append(client)
        try:
            client.connect(listener.getsockname())
        except TimeoutError:
            return listener, filling
    raise OSError("the backlog of a listener cannot be filled on this system")
