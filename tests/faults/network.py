"""Faults of the way to the server: packets that are lost, balancers that hang, slow answers."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from threading import Event
from time import monotonic, sleep
from typing import Any

from tests.faults.namespace import Network
from tests.faults.stage import Outcome, Stage, outcome
from tests.proxy import Proxy, unanswering
from tests.servers import Server

KEEPALIVES = {"keepalives_idle": 1, "keepalives_interval": 1, "keepalives_count": 3}
SILENT = "pgstrata.invalid"  # a name that nobody has
DEADLINE = 2  # seconds, that a client waits for a silent server


def black_hole(stage: Stage, hole: float = 0.0) -> Outcome:
    """Lose all packets to and from the server; the time until a client is told.

    ``hole`` is how much longer that lasts; a client then has to be served again.
    """
    limit = 500 if stage.short else 5000
    with Network() as network, Proxy(address(stage.server), network.listener()) as proxy:
        over = {"tcp_user_timeout": limit, **KEEPALIVES, **through(proxy)}
        with stage.loaded(stage.settings(**over)) as load:
            began = monotonic()
            network.lose()
            told = load.failure(began) - began
            sleep(hole)  # how long packets are lost is the fault itself
            network.heal()
            restored = monotonic()
            back = load.success(restored) - restored
            load.everybody(restored)
            return outcome(load, back if hole else told)


def healed(stage: Stage) -> Outcome:
    """Lose packets for a minute; the time from its end to the first success."""
    return black_hole(stage, 60.0)


def acknowledging(stage: Stage) -> Outcome:
    """Acknowledge everything and answer nothing; the time until a client is told."""
    with Proxy(address(stage.server)) as proxy:
        deadline = {"client_deadline": DEADLINE} if stage.ours else {}
        settings = stage.settings(**through(proxy), **deadline, **KEEPALIVES)
        with stage.loaded(settings) as load:
            began = monotonic()
            proxy.swallow()
            told = load.failure(began) - began
            proxy.heal()
            load.everybody(monotonic())
            return outcome(load, told)


def cut(stage: Stage) -> Outcome:
    """Reset all connections at once, as a balancer does."""
    with (
        Proxy(address(stage.server)) as proxy,
        stage.loaded(stage.settings(**through(proxy))) as load,
    ):
        began = monotonic()
        proxy.cut()
        recovered = load.success(monotonic()) - began
        load.everybody(monotonic())
        return outcome(load, recovered)


def slow_log_in(stage: Stage) -> Outcome:
    """Answer the first packet and no more: opening the pool fails within the time-out."""
    with Proxy(address(stage.server)) as proxy:
        proxy.hang()
        return refusal(stage, stage.settings(**through(proxy), connect_timeout=2))


def dropped(stage: Stage) -> Outcome:
    """Drop the first packet: opening the pool fails within the time-out."""
    listener, filling = unanswering()
    with ExitStack() as stack:
        for each in (listener, *filling):
            stack.enter_context(each)
        host, port = listener.getsockname()
        return refusal(stage, stage.settings(host=host, port=port, connect_timeout=2))


def silent_names(stage: Stage) -> Outcome:
    """Have a name server answer nothing: opening the pool fails within the time-out.

    That cannot be had without changing the machine's own settings, so the call of the C library is
    replaced by one that waits.
    """
    over, look_up = Event(), socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        if host == SILENT:
            over.wait()
        return look_up(host, *arguments, **options)

    socket.getaddrinfo = getaddrinfo
    try:
        return refusal(stage, stage.settings(host=SILENT, connect_timeout=2))
    finally:
        socket.getaddrinfo = look_up
        over.set()


def refusal(stage: Stage, settings: dict[str, Any]) -> Outcome:
    """Open a pool that cannot be opened: how long that takes, and whether the cause is told."""
    began = monotonic()
    try:
        with stage.opened(settings) as borrow, borrow() as session:
            session.execute("SELECT 1")
    except Exception as error:  # noqa: BLE001  # whatever the pool raises is the result
        seconds = monotonic() - began
        untold = () if error.__cause__ else (f"no cause: {error}",)
        return Outcome(seconds, {type(error).__name__: 1}, untold)
    return Outcome(monotonic() - began, {}, ("a connection was had",))


def address(server: Server) -> tuple[str, int]:
    """Return where a server listens."""
    return server.host, server.port


def through(proxy: Proxy) -> dict[str, Any]:
    """Return the settings that lead through a proxy."""
    return {"host": proxy.host, "port": proxy.port}
