"""Which servers still answer: asked all at once, without a thread, within one time.

The question is libpq's own first one, whether the server speaks TLS (the protocol's SSLRequest), to
which every server and pooler says one byte. Nobody has to log in for it.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector, DefaultSelector, SelectorKey
from time import monotonic
from typing import Any

import psycopg

_REQUEST = struct.pack("!ii", 8, 80877103)  # length and code, "Message Formats" of the protocol


def answering(connections: Iterable[Any], until: float) -> Iterator[Any]:
    """Yield those connections whose servers answer before ``until``, on the clock ``monotonic``."""
    with DefaultSelector() as selector:
        try:
            for connection in connections:
                with suppress(OSError, AttributeError, psycopg.Error):  # unknown here, or lost
                    _begin(selector, connection)
            for key in ready(selector, until):
                if _answers(selector, key):
                    yield key.data
        finally:
            for key in list(selector.get_map().values()):
                _end(selector, key)


def ready(selector: BaseSelector, until: float) -> Iterator[SelectorKey]:
    """Yield what can go on, until nothing is registered any more or the time is over."""
    while selector.get_map() and (left := until - monotonic()) > 0:
        for key, _ in selector.select(left):
            yield key


def _begin(selector: BaseSelector, connection: Any) -> None:
    family, address = _place(connection.pgconn)
    asking = socket.socket(family, socket.SOCK_STREAM)
    asking.setblocking(False)
    asking.connect_ex(address)
    selector.register(asking, EVENT_WRITE, connection)


def _place(pgconn: Any) -> tuple[int, Any]:
    host, port = pgconn.host.decode(), pgconn.port.decode()
    if host.startswith(("/", "@")):  # an abstract socket begins with a NUL
        return socket.AF_UNIX, f"{host}/.s.PGSQL.{port}".replace("@", "\0", 1)
    address = pgconn.hostaddr.decode()
    return socket.AF_INET6 if ":" in address else socket.AF_INET, (address, int(port))


def _answers(selector: BaseSelector, key: SelectorKey) -> bool:
    """Go on with one server; tell whether it has answered."""
    asking: Any = key.fileobj
    try:
        if key.events == EVENT_WRITE:
            asking.send(_REQUEST)  # raises what became of the attempt to connect
            selector.modify(asking, EVENT_READ, key.data)
            return False
        answer = asking.recv(1)
    except OSError:
        answer = b""
    _end(selector, key)
    return bool(answer)


def _end(selector: BaseSelector, key: SelectorKey) -> None:
    asking: Any = key.fileobj
    selector.unregister(asking)
    asking.close()
