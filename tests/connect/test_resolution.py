"""Host names that are slow to resolve, do not resolve, or have several addresses.

A name server that is silent cannot be had without changing the machine's own settings, so the
resolver of the C library is replaced where these tests say so.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from tests.connect.conftest import TYPES, Make, select, settings
from tests.connect.test_lifecycle import wait_until
from tests.servers import Server

from pgstrata import ConnectionFailedError, PoolTimeoutError
from pgstrata.connect.handles import PoolHandle
from pgstrata.connect.resolution import resolved, resolved_async

KNOWN = {"one.test": ["127.0.0.1"], "two.test": ["::1", "127.0.0.1"]}
SILENT = "silent.test"
ADDRESSES = "hostaddr=::1,127.0.0.1,127.0.0.1,,10.0.0.1"


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have KNOWN names, SILENT, for which there is no answer, and others, which do not exist."""
    over = threading.Event()

    def getaddrinfo(host: str, port: str, **_: Any) -> list[Any]:
        if host == SILENT:
            over.wait()
        if host not in KNOWN:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [(*kind, (address, int(port))) for address in KNOWN[host]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield
    over.set()


def both(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return what both ways come to."""
    result = resolved(arguments)
    assert asyncio.run(resolved_async(arguments)) == result
    return result


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("host=one.test", "host=one.test hostaddr=127.0.0.1"),
        ("host=two.test port=1", "host=two.test,two.test hostaddr=::1,127.0.0.1 port=1,1"),
        (
            "host=two.test,one.test,missing.test,/tmp,10.0.0.1 port=1,2,3,4,5",
            f"host=two.test,two.test,one.test,/tmp,10.0.0.1 port=1,1,2,4,5 {ADDRESSES}",
        ),
        ("host=one.test hostaddr=10.0.0.1", ""),
        ("host=/tmp", ""),
        ("host=127.0.0.1,::1", ""),
        ("host=one.test,two.test port=1,2,3", ""),
        ("dbname=d", ""),
    ],
)
def test_addresses(given: str, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names get their addresses, in order; what needs none stays as it is."""
    for name in ("PGHOST", "PGHOSTADDR", "PGPORT"):
        monkeypatch.delenv(name, raising=False)
    assert both(conninfo_to_dict(given)) == conninfo_to_dict(found or given)


@pytest.mark.usefixtures("names")
def test_a_host_that_a_service_file_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is stronger than a variable, as for libpq, and weaker than what is given."""
    file = tmp_path / "services"
    file.write_text("[far]\nhost=two.test\nport=7\n")
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    monkeypatch.setenv("PGHOST", "one.test")
    found = both({"service": "far"})
    assert found["hostaddr"] == "::1,127.0.0.1"
    assert (found["host"], found["port"]) == ("two.test,two.test", "7,7")
    monkeypatch.setenv("PGSERVICE", "far")
    assert both({})["host"] == "two.test,two.test"
    assert both({"host": "one.test"})["hostaddr"] == "127.0.0.1"


@pytest.mark.usefixtures("names")
def test_no_name_resolves() -> None:
    """The error is psycopg's, in its words."""
    with pytest.raises(psycopg.OperationalError, match=r"failed to resolve host 'gone\.\.test'"):
        both({"host": "missing.test,gone..test"})


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize("kind", TYPES)
async def test_silent_name_server(make: Make, server: Server, kind: str) -> None:
    """A name server that is silent is given up after ``connect_timeout``."""
    given = settings(server, host=SILENT, connect_timeout=2)
    handle = make(given).get_database_connection(connection_type=kind)
    with pytest.raises(ConnectionFailedError, match=r"timed out: .* host 'silent\.test'"):
        await select(handle)


@pytest.mark.usefixtures("names")
def test_silent_name_server_for_one_of_two(make: Make, server: Server) -> None:
    """A host that is known is connected to all the same."""
    given = settings(server, host=f"{SILENT},one.test", connect_timeout=2)
    with make(given).normal() as connection:
        assert connection.info.hostaddr == "127.0.0.1"


def open_quietly(handle: PoolHandle) -> None:
    """Open a pool that cannot be had."""
    with pytest.raises(ConnectionFailedError):
        handle.open()


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize("kind", ["pool", "async_pool"])
async def test_others_wait_for_their_time_out(make: Make, server: Server, kind: str) -> None:
    """Who asks for a pool that is being opened waits no longer than for a connection of it."""
    sizes = {"min_size": 1, "timeout": 0.2}
    given = settings(server, host=SILENT, connect_timeout=60)
    manager = make(given, pool_settings=sizes, async_pool_settings=sizes)
    handle: Any = manager.get_database_connection(connection_type=kind)
    if kind == "async_pool":
        asked = [select(handle) for _ in range(4)]
    else:
        threading.Thread(target=open_quietly, args=(handle,), daemon=True).start()
        await asyncio.to_thread(wait_until, handle._opening.locked)
        asked = [asyncio.to_thread(asyncio.run, select(handle)) for _ in range(4)]
    errors = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(error) for error in errors} == {PoolTimeoutError}
    assert "within 0.2 s (0 of at most" in str(errors[0])
