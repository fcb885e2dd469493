"""The addresses of host names, within ``connect_timeout``.

psycopg looks all names up before its own time-out begins, and a name server that is silent can hold
it for half a minute. A look-up cannot be interrupted, so each has a thread, which is left behind
when its time is over. Names stay beside their addresses: TLS and password files go by them.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from concurrent.futures import Future, wait
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, TypeAlias

import psycopg
from psycopg.conninfo import timeout_from_conninfo

from pgstrata.layers.ambient import of_service

Arguments: TypeAlias = dict[str, Any]  # of psycopg.connect
_PLACE = ("host", "port", "hostaddr")
Addresses: TypeAlias = "list[str] | Future[list[str]]"  # of one host; [""] is for a socket


def resolved(arguments: Arguments) -> Arguments:
    """Return the same with the addresses of its host names in ``hostaddr``. Raises
    ``OperationalError`` where there are none, and ``ConnectionTimeout`` where it took too long.
    """
    hosts = _hosts(arguments)
    if pending := _pending(hosts):
        wait(pending, timeout_from_conninfo(arguments))
    return _with_addresses(arguments, hosts) if pending else arguments


async def resolved_async(arguments: Arguments) -> Arguments:
    """Do the same while the event loop goes on."""
    hosts = _hosts(arguments)
    if pending := _pending(hosts):
        awaited = [asyncio.wrap_future(each) for each in pending]
        for each in awaited:
            each.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait(awaited, timeout=timeout_from_conninfo(arguments))
    return _with_addresses(arguments, hosts) if pending else arguments


def _given(arguments: Arguments) -> tuple[str, str, str]:
    """Return host, port and hostaddr as libpq finds them: of the arguments, of a service file, or
    of the environment.
    """
    variables = {name: os.environ.get(f"PG{name.upper()}", "") for name in _PLACE}
    service = {name: str(leaf.value) for name, leaf in of_service(arguments, os.environ)}
    known = {**variables, **service, **arguments}
    host, port, hostaddr = (str(known[name]) for name in _PLACE)
    return host, port, hostaddr


def _hosts(arguments: Arguments) -> list[tuple[str, str, Addresses]]:
    """Return the name and port of each host, and its addresses, or the look-up for them: nothing
    where they are given, or where psycopg has an error to tell.
    """
    host, port, hostaddr = _given(arguments)
    names, ports = host.split(","), port.split(",")
    if hostaddr or len(ports) not in (1, len(names)):
        return []
    ports = ports * len(names) if len(ports) == 1 else ports
    return [(host, port, _addresses(host, port)) for host, port in zip(names, ports, strict=True)]


def _addresses(host: str, port: str) -> Addresses:
    if not host or host.startswith(("/", "@")) or host[1:2] == ":":
        return [""]
    with suppress(ValueError):
        ip_address(host)
        return [host]
    return _looked_up(host, port or "5432")


def _looked_up(host: str, port: str) -> Future[list[str]]:
    future: Future[list[str]] = Future()
    future.set_running_or_notify_cancel()  # nobody can cancel it any more

    def look_up() -> None:
        try:
            found = socket.getaddrinfo(
                host, port, proto=socket.IPPROTO_TCP, type=socket.SOCK_STREAM
            )
        except Exception as error:  # noqa: BLE001  # it is raised where the result is wanted
            future.set_exception(error)
        else:
            future.set_result([str(entry[4][0]) for entry in found])

    try:
        threading.Thread(target=look_up, name=f"look up {host}", daemon=True).start()
    except RuntimeError:  # Python ends, and begins no threads any more
        look_up()
    return future


def _pending(hosts: list[tuple[str, str, Addresses]]) -> list[Future[list[str]]]:
    return [addresses for *_, addresses in hosts if isinstance(addresses, Future)]


def _with_addresses(arguments: Arguments, hosts: list[tuple[str, str, Addresses]]) -> Arguments:
    found: list[tuple[str, str, str]] = []
    failure = psycopg.OperationalError("no host is given")
    for host, port, addresses in hosts:
        try:
            known = _result(host, addresses)
        except psycopg.OperationalError as error:  # the others may do
            failure = error
        else:
            found += [(host, port, address) for address in known]
    if not found:
        raise failure
    names, ports, given = (",".join(column) for column in zip(*found, strict=True))
    with_port = {"port": ports} if ports.strip(",") else {}
    return {**arguments, "host": names, "hostaddr": given, **with_port}


def _result(host: str, addresses: Addresses) -> list[str]:
    if not isinstance(addresses, Future):
        return addresses
    if not addresses.done():
        raise psycopg.errors.ConnectionTimeout(
            f"timed out: no name server told the address of host {host!r}"
        )
    try:
        return addresses.result()
    except (OSError, UnicodeError) as error:
        problem = f"failed to resolve host {host!r}: {error}"
    raise psycopg.OperationalError(problem)
