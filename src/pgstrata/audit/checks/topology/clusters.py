"""Which cluster an environment is in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pgstrata.audit.model import Check, Outcome
from pgstrata.audit.remedy import for_client
from pgstrata.audit.view import Fleet, View

_VERIFY = "SELECT system_identifier FROM pg_control_system();"


def same_cluster(fleet: Fleet) -> Iterator[tuple[View, Iterator[Outcome]]]:
    """Find environments that share a cluster."""
    clusters = fleet.by_cluster()
    yield from ((view, _alone_or_not(view, clusters)) for view in fleet)


def _alone_or_not(view: View, clusters: Mapping[str, tuple[View, ...]]) -> Iterator[Outcome]:
    identifier = str(view.row("control")["system_identifier"])
    environments = dict.fromkeys(other.client.environment for other in clusters[identifier])
    others = [name for name in environments if name != view.client.environment]
    meant = view.client.value("server.shared") is True
    line = "connection_settings: {host: …}; or, where it is meant, server: {shared: true}"
    yield Outcome(
        "fail" if others and not meant else "ok",
        f"environment {', '.join(others)} is in the same cluster"
        if others
        else "a cluster of its own among those that were looked at",
        object=", ".join(others),
        observed=identifier,
        expected="a cluster of its own",
        key="connection_settings.host",
        fix=(for_client(view, line, _VERIFY),) if others and not meant else (),
        evidence=(f"system_identifier = {identifier}",),
    )


def wrong_cluster(view: View) -> Iterator[Outcome]:
    """Compare the cluster with the one that is meant."""
    wanted = view.client.value("server.system_identifier")
    if wanted is None:
        return
    there = str(view.row("control")["system_identifier"])
    line = f"server: {{system_identifier: '{there}'}}, if it was rebuilt; else the right host"
    yield Outcome(
        "fail" if there != wanted else "ok",
        f"this is cluster {there}" + ("" if there == wanted else f", and {wanted} is meant"),
        observed=there,
        expected=str(wanted),
        key="server.system_identifier",
        fix=() if there == wanted else (for_client(view, line, _VERIFY),),
        evidence=(f"system_identifier = {there}",),
    )


CHECKS = (
    Check(
        "topo.same_cluster",
        "fail",
        what="Two environments whose servers have one system identifier, without"
        " `server: {shared: true}`.",
        why="What is done to staging is done to production: roles, settings, slots and memory are"
        " one, however different the host names are.",
        verify=_VERIFY,
        fix="Another host; or say that it is meant, in each of them.",
        ignore="Say `shared: true` instead: that stays when the waiver is forgotten.",
        cannot_see="Environments that were not looked at together; copies of a cluster's files,"
        " which keep its identifier.",
        source="PostgreSQL documentation, pg_control_system.",
        compare=same_cluster,
    ),
    Check(
        "topo.wrong_cluster",
        "fail",
        what="The system identifier against `server.system_identifier`.",
        why="A host name that leads to another cluster than yesterday: it was rebuilt, restored, or"
        " the name was moved.",
        verify=_VERIFY,
        fix="The right host; or the new identifier, if the change is known.",
        ignore="When clusters are rebuilt every day: leave the key out.",
        cannot_see="A cluster that was restored from a copy of its files: it keeps its identifier.",
        source="PostgreSQL documentation, pg_control_system.",
        find=wrong_cluster,
    ),
)
