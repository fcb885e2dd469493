"""Faults of whole servers: restarts, outages, promotions."""

from __future__ import annotations

from time import monotonic, sleep
from typing import Any

from tests.faults.stage import Outcome, Stage, answering, outcome
from tests.servers import Server
from tests.standby import replicating

WRITING = "SELECT 1 FROM pg_stat_activity WHERE backend_xid IS NOT NULL"


def restart(stage: Stage, down: float = 0.0) -> Outcome:
    """Stop the server, and start it again after ``down`` seconds."""
    with stage.loaded() as load:
        stage.server.stop()
        load.failure()
        sleep(down)  # how long the outage lasts is the fault itself
        stage.server.launch()
        restored = answering(stage.server)
        recovered = load.success(restored) - restored
        load.everybody(restored)
        return outcome(load, recovered)


def crash(stage: Stage) -> Outcome:
    """Kill the server, which then recovers from its log."""
    with stage.loaded() as load:
        stage.server.stop("immediate")
        load.failure()
        stage.server.launch()
        restored = answering(stage.server)
        recovered = load.success(restored) - restored
        load.everybody(restored)
        return outcome(load, recovered)


def promotion(stage: Stage, gap: float = 0.0) -> Outcome:
    """Kill the primary, and promote its standby after ``gap`` seconds."""
    with replicating(stage.server.bindir) as (primary, standby):
        settings = stage.settings(**hosts(primary, standby))
        with stage.loaded(settings, truth=primary) as load:
            load.truth(standby.sql)
            primary.stop("immediate")
            load.failure()
            sleep(gap)  # how long nobody is primary is the fault itself
            standby.promote(wait=False)
            restored = answering(standby)
            recovered = load.success(restored) - restored
            load.everybody(restored)
            return outcome(load, recovered)


def demotion(stage: Stage) -> Outcome:
    """Make the primary read-only, with its sessions left open, and promote its standby."""
    with replicating(stage.server.bindir) as (primary, standby):
        settings = stage.settings(**hosts(primary, standby))
        with stage.loaded(settings, truth=primary) as load:
            load.truth(standby.sql)
            primary.sql("ALTER SYSTEM SET default_transaction_read_only = on")
            primary.reload()
            load.failure()
            while primary.sql(WRITING):  # a commit would wait for ever for a standby that is gone
                sleep(0.005)
            standby.promote(wait=False)
            restored = answering(standby)
            recovered = load.success(restored) - restored
            load.everybody(monotonic())
            return outcome(load, recovered)


def hosts(*servers: Server) -> dict[str, Any]:
    """Return the settings that lead to whichever of the servers may be written to."""
    return {
        "host": ",".join(server.host for server in servers),
        "port": ",".join(str(server.port) for server in servers),
        "target_session_attrs": "read-write",
    }
