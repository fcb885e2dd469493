"""The proxy that tests of faults rely on."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from tests.proxy import Proxy, unanswering

SOON, LATE = 0.2, 20.0  # seconds: for what must not come, and for what must


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """Return a proxy to a server that echoes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=echo, args=(server,), daemon=True).start()
        with Proxy(server.getsockname()) as made:
            yield made


def echo(server: socket.socket) -> None:
    """Answer each connection with what it says."""
    with suppress(OSError):
        while True:
            client, _ = server.accept()
            threading.Thread(target=answer, args=(client,), daemon=True).start()


def answer(client: socket.socket) -> None:
    """Answer one connection with what it says."""
    with client, suppress(OSError):
        while data := client.recv(100):
            client.sendall(data)


def said(proxy: Proxy, seconds: float = LATE) -> bytes:
    """Return what comes back through a new connection."""
    with socket.create_connection((proxy.host, proxy.port), timeout=seconds) as client:
        client.sendall(b"hello")
        return client.recv(100)


def test_it_passes(proxy: Proxy) -> None:
    """What is said comes back."""
    assert said(proxy) == b"hello"


@pytest.mark.parametrize("fault", ["hang", "swallow"])
def test_silence(proxy: Proxy, fault: str) -> None:
    """Nothing comes back, and no error either, until it heals."""
    getattr(proxy, fault)()
    with pytest.raises(TimeoutError):
        said(proxy, SOON)
    proxy.heal()
    assert said(proxy) == b"hello"


def test_refusing(proxy: Proxy) -> None:
    """Connections are reset, until it heals."""
    proxy.refuse()
    with suppress(ConnectionError):  # or an end without one, on some systems
        assert said(proxy) == b""
    proxy.heal()
    assert said(proxy) == b"hello"


def test_cutting_what_is_open(proxy: Proxy) -> None:
    """An open connection ends, and a new one passes."""
    with socket.create_connection((proxy.host, proxy.port), timeout=LATE) as client:
        client.sendall(b"hello")
        assert client.recv(100) == b"hello"
        proxy.cut()
        with suppress(ConnectionError):
            assert client.recv(100) == b""
    assert said(proxy) == b"hello"


def test_a_full_backlog() -> None:
    """Connecting neither succeeds nor fails."""
    listener, filling = unanswering()
    with socket.socket() as client:
        client.settimeout(SOON)
        with pytest.raises(TimeoutError):
            client.connect(listener.getsockname())
    for each in (listener, *filling):
        each.close()
