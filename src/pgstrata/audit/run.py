"""One audit: endpoints are looked at, or what was saved of them is read, and all of it judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path

from pgstrata.audit import gather, waiver_file, waivers
from pgstrata.audit.checks import CHECKS
from pgstrata.audit.judge import judge
from pgstrata.audit.model import Check, Snapshot
from pgstrata.audit.report import Report
from pgstrata.audit.view import View, fleet
from pgstrata.audit.waivers import Waiver
from pgstrata.check.scope import Connection
from pgstrata.errors import UsageError
from pgstrata.model import Config

ALL_CHECKS = (*CHECKS, *waivers.CHECKS)


def clients(configs: Iterable[Config], *, only: str = "", login: str = "") -> list[Connection]:
    """Return the connections to audit: all, or ``only`` one of each environment.

    The one that the auditor logs in with is left out, unless it is the one that was asked for.
    Raises ``UsageError`` where an environment lacks one of these.
    """
    found = []
    for config in configs:
        for name in filter(None, (only, login)):
            _require(config, name)
        names = [only] if only else [name for name in config.connections if name != login]
        found += [Connection(config, name, config.connection(name)) for name in names]
    return found


def _require(config: Config, name: str) -> None:
    if name not in config.connections:
        there = ", ".join(config.connections)
        problem = f"environment {config.environment!r}: no connection {name!r}"
        raise UsageError(problem, hint=f"there are: {there}")


def accepted(
    project: Path, environments: Iterable[str], today: date, checks: Iterable[Check] = ALL_CHECKS
) -> tuple[Waiver, ...]:
    """Return the project's waivers; ``environments`` are all that it has.

    Raises ``InvalidConfigError`` where they are not valid, ``ConfigError`` where they cannot be
    read: before any server is asked.
    """
    return waiver_file.read(project, environments, [check.id for check in checks], today)


def look(targets: Sequence[Connection], *, login: str = "", probe: bool = True) -> list[View]:
    """Look at every endpoint of these connections, all at once."""
    places = [place for one in targets for place in gather.endpoints(one, login or None)]
    snapshots = gather.gather(places, probe=probe)
    return [View(place.client, seen) for place, seen in zip(places, snapshots, strict=True)]


def recall(targets: Iterable[Connection], snapshots: Iterable[Snapshot]) -> list[View]:
    """Pair each host of these connections with what was saved of it. One of which nothing was is
    as one that cannot be reached; what was saved of others is of another configuration.
    """
    saved = list(snapshots)
    return [
        View(one, _saved(one, place, saved)) for one in targets for place in gather.hosts_of(one)
    ]


def _saved(client: Connection, place: Mapping[str, str], saved: list[Snapshot]) -> Snapshot:
    """Return the snapshot of a host. What is not configured was chosen by libpq, or said by an
    embedded server, so that it may be any.
    """
    host, port = place.get("host") or place.get("hostaddr", ""), place.get("port", "")
    for one in saved:
        if (one.environment, one.connection) == (client.environment, client.name) and (
            client.local or (host in ("", one.host) and port in ("", one.port))
        ):
            return one
    missing = "the file has no snapshot of it"
    return Snapshot(client.environment, client.name, host, port or "5432", "", error=missing)


def report(  # what an audit is about, and what it is judged by
    project: Path,
    views: Sequence[View],
    broken: Mapping[str, str],
    *,
    held: Iterable[Waiver] = (),
    whole: bool = False,
    today: date,
    checks: tuple[Check, ...] = CHECKS,
) -> Report:
    """Judge the endpoints. ``held`` are the project's waivers; ``whole`` says that no connection of
    the audited environments was left out.
    """
    views = fleet(views).views
    results = judge(views, checks)
    results = waivers.apply(results, held, _whole(views) if whole else (), today)
    return Report(project, (*checks, *waivers.CHECKS), views, results, broken)


def _whole(views: Iterable[View]) -> set[str]:
    """Return the environments of which every endpoint was looked at."""
    views = tuple(views)
    unseen = {view.client.environment for view in views if view.snapshot.error}
    return {view.client.environment for view in views} - unseen
