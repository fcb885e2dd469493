"""A connection that speaks PostgreSQL's protocol as far as the request for a password.

https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

PROTOCOL = 0x30000  # 3.0, which every server since 7.4 speaks
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
TERMINATE = b"X\0\0\0\4"
SECONDS = 10.0  # libpq has no limit of its own
LARGEST = 30_000  # bytes of an answer before login; more does not come from PostgreSQL

_SOCKET_FOLDERS = ("/var/run/postgresql", "/tmp")  # noqa: S108 # where libpq is built to look


class NotPostgresError(OSError):
    """Something answers, but not as PostgreSQL does."""


class Stream:
    """A connection to one server, closed by ``with``. Every wait for it ends at its deadline; only
    the look-up of a name takes as long as the system lets it.

    All methods raise ``OSError``: ``TimeoutError`` at the deadline, ``ssl.SSLError``,
    ``NotPostgresError``, or the system's own.
    """

    def __init__(self, parameters: Mapping[str, str], seconds: float, source: str = "") -> None:
        """Connect to ``hostaddr`` or ``host``, at the latest within ``seconds``.

        ``source`` is the address of this machine to come from, if not any.
        """
        self._deadline = time.monotonic() + seconds
        self._socket = self._connect(parameters, source)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def request_tls(self) -> bool:
        """Ask whether the server speaks TLS; it then waits for ``encrypt``."""
        self.send(SSL_REQUEST)
        # One byte and no more: what came with it in clear text would pass for encrypted.
        answer = self._read(1)
        if answer not in (b"S", b"N"):
            raise NotPostgresError(f"the answer to a request for TLS was {answer!r}")
        return answer == b"S"

    def encrypt(self, context: ssl.SSLContext, host: str) -> ssl.SSLSocket:
        """Go on in TLS, telling the server the name of ``host``. Raises ``ssl.SSLError`` if they do
        not agree, also where the server has hung up instead: the system may call that a reset.
        """
        self._socket.settimeout(self._remaining())
        # Python refuses a name that starts with a dot, which is none to tell a server.
        name = host if not host.startswith(".") else ""
        try:
            encrypted = context.wrap_socket(self._socket, server_hostname=name or None)
        except ConnectionError as error:
            raise ssl.SSLEOFError(ssl.SSL_ERROR_EOF, str(error)) from error
        self._socket = encrypted
        return encrypted

    def start(self, parameters: Mapping[str, str]) -> None:
        """Say who wants to connect to what: the startup message with these parameters.

        A server that has closed already, because it does not trust the client's certificate, has
        said so: that is for ``receive`` to find.
        """
        words = [word for pair in parameters.items() for word in pair]
        body = b"".join(word.encode() + b"\0" for word in words) + b"\0"
        with suppress(OSError):
            self.send(struct.pack("!ii", len(body) + 8, PROTOCOL) + body)

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self._socket.settimeout(self._remaining())
        self._socket.sendall(data)

    def receive(self) -> tuple[bytes, bytes]:
        """Return the next message: its type, a letter, and its content."""
        kind = self._read(1)
        (length,) = struct.unpack("!i", self._read(4))
        size = length - 4  # the length counts itself
        if not 0 <= size <= LARGEST:
            raise NotPostgresError(f"a message {kind!r} of {size} bytes came")
        return kind, self._read(size)

    def close(self) -> None:
        """Close; the end of TLS is announced, or the server would log a lost connection."""
        with suppress(OSError, ValueError):
            if isinstance(self._socket, ssl.SSLSocket):
                self._socket.settimeout(self._remaining())
                self._socket.unwrap()
        self._socket.close()

    def _connect(self, parameters: Mapping[str, str], source: str) -> socket.socket:
        failure: OSError = OSError("the name has no address")
        for family, address in _addresses(parameters):
            connection = socket.socket(family, socket.SOCK_STREAM)
            try:
                connection.settimeout(self._remaining())
                if source:
                    connection.bind((source, 0))
                connection.connect(address)
            except OSError as error:
                connection.close()
                failure = error
            else:
                return connection
        raise failure

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            self._socket.settimeout(self._remaining())
            more = self._socket.recv(count - len(data))
            if not more:
                raise ConnectionResetError("the server closed the connection without an answer")
            data += more
        return data

    def _remaining(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        return left


def socket_path(parameters: Mapping[str, str]) -> str:
    """Return the path of the Unix socket that the parameters mean; empty where they mean TCP."""
    host, port = parameters.get("host", ""), parameters.get("port") or "5432"
    if parameters.get("hostaddr") or not hasattr(socket, "AF_UNIX"):
        return ""
    if host:
        return f"{host}/.s.PGSQL.{port}" if host[0] in "/@" else ""
    paths = [Path(folder, f".s.PGSQL.{port}") for folder in _SOCKET_FOLDERS]
    return next((str(path) for path in paths if path.exists()), "")


def reason(error: OSError) -> str:
    """Return the system's or OpenSSL's words for an error, without its numbers."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if words := getattr(error, "reason", ""):  # OpenSSL's
        return str(words).lower().replace("_", " ")
    return error.strerror or str(error)


def _addresses(parameters: Mapping[str, str]) -> Iterator[tuple[int, Any]]:
    """Yield the family and address of each place that the one host of the parameters may be at."""
    if path := socket_path(parameters):
        yield socket.AF_UNIX, path.replace("@", "\0", 1) if path[0] == "@" else path
        return
    where = parameters.get("hostaddr") or parameters.get("host") or "localhost"
    port = int(parameters.get("port") or 5432)
    try:
        found = socket.getaddrinfo(where, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise OSError(f"{where!r} cannot be the name of a host") from None
    yield from ((family, address) for family, _, _, _, address in found)
