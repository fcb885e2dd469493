"""The table of faults: each with what plays it and what must be reached."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Literal, TypeAlias

from tests.faults import credentials, herds, namespace, network, programs, restarts, sessions
from tests.faults.network import DEADLINE
from tests.faults.stage import SIZE, Outcome, Stage
from tests.servers import Server, has_tls

Kind: TypeAlias = Literal["pool", "async_pool"]
BOTH: tuple[Kind, ...] = ("pool", "async_pool")
IN_FLIGHT = 4  # as many as there are clients: no statement is ever replayed


@dataclass(frozen=True, slots=True)
class Row:
    """A fault. Its outcome's ``seconds``, as the median of ``times``, must be at most ``seconds``,
    and its errors at most ``errors``.

    ``short`` are the kinds of pool that the default suite plays it with, ``kinds`` those it is for.
    ``needs`` says what is missing on this machine, or nothing.
    """

    title: str
    play: Callable[[Stage], Outcome]
    seconds: float
    errors: float = inf
    short: tuple[Kind, ...] = ("pool",)
    kinds: tuple[Kind, ...] = BOTH
    times: int = 5
    needs: Callable[[Server], str] = lambda _: ""


def root(_: Server) -> str:
    """Say whether packets cannot be lost, nor a disk be made full."""
    return "" if namespace.available() else "only root on Linux has networks and disks to break"


def posix(_: Server) -> str:
    """Say whether there are no signals."""
    return "" if os.name == "posix" else "this system has no POSIX signals"


def tls(server: Server) -> str:
    """Say whether the server has no TLS."""
    return "" if has_tls(server.bindir) else "this server was built without TLS"


down, promoted, idle = restarts.restart, restarts.promotion, sessions.idle
ROWS = {
    "restart": Row("restart without pause", down, 0.5, IN_FLIGHT, BOTH),
    "crash": Row("crash and recovery", restarts.crash, 0.5, IN_FLIGHT, ()),
    "down-5": Row("down for 5 s", partial(down, down=5), 1, IN_FLIGHT, ()),
    "down-20": Row("down for 20 s", partial(down, down=20), 1, IN_FLIGHT, ()),
    "promotion": Row("standby promoted at once", promoted, 1, IN_FLIGHT),
    "promotion-5": Row("standby promoted after 5 s", partial(promoted, gap=5), 1, IN_FLIGHT, ()),
    "promotion-20": Row("standby promoted after 20 s", partial(promoted, gap=20), 1, IN_FLIGHT, ()),
    "read-only": Row("host turns read-only, other host promoted", restarts.demotion, 0.5),
    "idle-4": Row("4 sessions ended while idle", idle, 0.1, 0, BOTH),
    "idle-8": Row("8 sessions ended while idle", partial(idle, size=8), 0.1, 0, ()),
    "idle-32": Row("32 sessions ended while idle", partial(idle, size=32), 0.1, 0, ()),
    "busy": Row("all sessions ended under load", sessions.busy, 0.5, IN_FLIGHT + SIZE, BOTH),
    "kill-9": Row("kill -9 of a backend, slowest answer", sessions.killed, 1.5, needs=posix),
    "cut": Row("all connections reset by a proxy", network.cut, 0.5, IN_FLIGHT + SIZE),
    "black-hole": Row(
        "packets lost, tcp_user_timeout 5 s: detected", network.black_hole, 6, needs=root
    ),
    "healed": Row("packets lost for 60 s, then back", network.healed, 1, short=(), needs=root),
    "acknowledging": Row(
        f"proxy acknowledges and hangs, client_deadline {DEADLINE} s: detected",
        network.acknowledging,
        DEADLINE + 1,
    ),
    "rotated": Row("password rotated, sessions ended", credentials.rotated, inf, 0),
    "late": Row("password rotated 5 s before its file", credentials.late, 2, IN_FLIGHT),
    "wrong-password": Row("wrong password, told", credentials.wrong_password, 0.2, 1, BOTH),
    "wrong-database": Row("wrong database, told", credentials.wrong_database, 0.2, 1),
    "slots": Row("3 of 8 connections admitted", sessions.exhausted, inf, 0),
    "certificate": Row("certificate expired, renewed", credentials.expired, 2, needs=tls),
    "disk-full": Row("disk full", sessions.disk_full, inf, 0, needs=root),
    "client-killed": Row("client killed, its query ends", programs.killed, 2, needs=posix),
    "sigterm": Row("SIGTERM during a query, ended", programs.told_to_end, 3, needs=posix),
    "fork": Row(
        "30 forks under load, bad answers", programs.forked, inf, 0, kinds=("pool",), needs=posix
    ),
    "storm": Row(
        "1,344 tasks cancelled, all connections back",
        herds.cancelled,
        inf,
        short=("async_pool",),
        kinds=("async_pool",),
    ),
    "slow-log-in": Row("log-in hangs, connect_timeout 2 s: told", network.slow_log_in, 2.5, 1, ()),
    "silent-names": Row(
        "no answer from a name server, connect_timeout 2 s: told", network.silent_names, 2.5, 1, ()
    ),
    "no-answer": Row("no answer, connect_timeout 2 s: told", network.dropped, 2.5, 1),
    "cold": Row("200 threads or 1,000 tasks, cold", herds.cold, inf, 0, BOTH),
}
