"""Half an hour of faults: ``python -m tests.faults.soak [SECONDS]``, which ``make soak`` runs.

50 clients write through two pools of one manager's settings, one of them asynchronous, to a primary
with a synchronous standby. Every EVERY seconds something goes wrong. At the end no acknowledged row
may be missing, nobody hang, no connection be left behind, and no memory have been lost.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path
from time import monotonic, sleep

from tests.conftest import find_tls
from tests.faults import namespace
from tests.faults.credentials import secret_file
from tests.faults.ledger import PATIENCE, Load
from tests.faults.namespace import Network
from tests.faults.network import address
from tests.faults.program import child, say
from tests.faults.stage import CONF, Stage, answering, terminate
from tests.faults.subjects import KINDS
from tests.proxy import Proxy
from tests.servers import PASSWORD, Server, embedded_bindir
from tests.standby import HBA, PRIMARY, Standby

SECONDS, EVERY = 1800, 20
CLIENTS = 25  # of each of the two pools
SIZE = 10
ROLE = "soaking"
PAUSE = (
    0.05  # a client's, between two transactions: the faults are to be met, not the machine's end
)
SETTLED = 0.2  # part of the time after which memory must stay as it is
GROWTH = 1.2


class Soak:
    """A primary, its standby, the way to both, and the pools that are kept open throughout."""

    def __init__(self, stack: ExitStack, pools: ExitStack) -> None:
        installed = find_tls()
        bindir = embedded_bindir() if isinstance(installed, str) else installed
        self.primary = Server(bindir, conf=PRIMARY + CONF, hba=HBA)
        stack.callback(lambda: self.primary.remove())  # noqa: PLW0108 # promotion changes which it is
        self.primary.start()
        self.primary.sql(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'")
        self.primary.sql(f"GRANT pg_write_all_data TO {ROLE}")
        self.standby = Standby(self.primary)
        stack.callback(lambda: self.standby.remove())  # noqa: PLW0108 # as above
        self.standby.follow()
        self.network = stack.enter_context(Network()) if namespace.available() else None
        self.ways = [stack.enter_context(self.way(s)) for s in (self.primary, self.standby)]
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stage = Stage("pool", self.primary, folder)
        settings, self.write = secret_file(stage, ROLE)
        settings["connection_settings"] |= {
            "host": ",".join(way.host for way in self.ways),
            "port": ",".join(str(way.port) for way in self.ways),
            "target_session_attrs": "read-write",
            "application_name": ROLE,
            "tcp_user_timeout": 3000,
            "connect_timeout": 3,
        }
        settings["pool_settings"] = {"min_size": SIZE // 2, "max_size": SIZE, "timeout": 60}
        self.borrows = [pools.enter_context(opened(settings)) for opened in KINDS.values()]
        self.password = PASSWORD

    def way(self, server: Server) -> Proxy:
        """Return a proxy to a server, at the far end of the network where there is one.

        A client that gave up while packets were lost cannot say so: its session would stay, with
        its locks, for as long as the far end lets it.
        """
        listener = self.network.listener() if self.network else None
        return Proxy(address(server), listener, keepalives=True)

    def restart(self) -> float:
        """Stop and start the primary."""
        self.primary.stop()
        self.primary.launch()
        return answering(self.primary)

    def promotion(self) -> float:
        """Kill the primary, promote the standby, and give that a standby in turn."""
        old, self.primary = self.primary, self.standby
        old.stop("immediate")
        self.standby.promote(wait=False)
        restored = answering(self.primary)
        self.ways.reverse()
        old.remove()
        self.standby = Standby(self.primary, port=old.port)
        self.standby.follow()
        return restored

    def termination(self) -> float:
        """End all sessions of the clients."""
        terminate(self.primary)
        return monotonic()

    def black_hole(self) -> float:
        """Lose all packets for 5 s, or cut all connections where that cannot be had."""
        if self.network is None:
            self.ways[0].cut()
            return monotonic()
        self.network.lose()
        sleep(5)  # how long packets are lost is the fault itself
        self.network.heal()
        return monotonic()

    def rotation(self) -> float:
        """Change the password, tell the clients a moment later, and end all sessions."""
        self.password += "."
        self.primary.sql(f"ALTER ROLE {ROLE} PASSWORD '{self.password}'")
        terminate(self.primary)
        self.write(self.password)
        return monotonic()

    def fork(self) -> float:
        """Fork; the child uses what it inherits, and ends."""
        code = child(self.borrows[0])
        assert code == 0, f"a child ended with {code}"
        return monotonic()

    def leaked(self, most: int) -> tuple[str, ...]:
        """Say how many connections the clients have open on the server, if that stays too many."""
        query = f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{ROLE}'"
        deadline = monotonic() + PATIENCE
        while (there := int(self.primary.sql(query)[0][0])) > most:
            if monotonic() > deadline:
                return (f"{there} connections are open",)
            sleep(0.05)
        return ()


def memory() -> int:
    """Return the memory of this process in KB, or 0 where it cannot be had."""
    status = Path(f"/proc/{os.getpid()}/status")
    if not status.exists():
        return 0
    return next(int(line.split()[1]) for line in status.open() if line.startswith("VmRSS"))


def play(soak: Soak, fault: Callable[[], float]) -> tuple[float, int, int, tuple[str, ...]]:
    """Play one fault under load.

    Returns the seconds until both pools served again, the number of errors, that of acknowledged
    rows, and what was wrong.
    """
    ends = monotonic() + EVERY
    with ExitStack() as stack:
        loads = [
            stack.enter_context(Load(soak.primary.sql, borrow, CLIENTS, PAUSE))
            for borrow in soak.borrows
        ]
        for load in loads:
            load.everybody()
        restored = fault()
        recovered = max(load.success(restored) for load in loads) - restored
        for load in loads:
            load.everybody(restored)
            load.truth(soak.primary.sql)
        sleep(max(0.0, ends - monotonic()))  # the faults come at a steady pace
    reckonings = [load.reckon() for load in loads]
    for load in loads:
        soak.primary.sql(f"DROP TABLE {load.table}")
    errors = sum(len(load.errors()) for load in loads)
    wrong = tuple(word for reckoning in reckonings for word in reckoning.wrong)
    return recovered, errors, sum(each.acknowledged for each in reckonings), wrong


def soaked(soak: Soak, seconds: float) -> tuple[int, list[str]]:
    """Play the faults in turn for so long; return the rows written and what was wrong."""
    began, rows, first = monotonic(), 0, 0
    wrong: list[str] = []
    faults = (soak.restart, soak.promotion, soak.termination)
    for fault in cycle((*faults, soak.black_hole, soak.rotation, soak.fork)):
        recovered, errors, written, bad = play(soak, fault)
        bad += soak.leaked(2 * SIZE)
        rows, wrong = rows + written, wrong + list(bad)
        passed, used = monotonic() - began, memory()
        say(
            f"{passed:6.0f} s  {fault.__name__:12} served again after {recovered:6.2f} s, "
            f"{errors:4} errors, {written:6} rows, {used // 1024} MB {' '.join(bad)}"
        )
        first = first or (used if passed > seconds * SETTLED else 0)
        if passed >= seconds:
            if used > first * GROWTH:
                wrong.append(f"memory grew from {first} to {used} KB")
            return rows, wrong
    raise AssertionError  # a cycle does not end


def main(seconds: float) -> int:
    """Print a line for each fault, and a summary. Return 1 if anything was wrong."""
    logging.disable(logging.ERROR)
    with ExitStack() as servers:
        with ExitStack() as pools:
            soak = Soak(servers, pools)
            rows, wrong = soaked(soak, seconds)
        wrong += soak.leaked(0)
    say(f"{rows} rows acknowledged; wrong: {', '.join(wrong) or 'nothing'}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS))
