"""What the file says against what the server does, and what is no word on the user at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.audit.checks.test_authentication import edited
from tests.audit.program import (
    APP,
    DB,
    HBA,
    Well,
    audited,
    by_id,
    environments,
    of,
    settings,
    with_hba,
)

from pgstrata.audit.judge import judge
from pgstrata.audit.model import Gap, Result, Snapshot
from pgstrata.audit.run import look
from pgstrata.audit.view import View
from pgstrata.audit.wire.handshake import Handshake
from pgstrata.audit.wire.probe import Probe

FULL = Probe("plain", "unavailable", code="53300", message="sorry, too many clients already")
GERMAN = Probe("plain", "refused", code="28000", message="kein pg_hba.conf-Eintrag")


def judged(well: Well, folder: Path, check: str, seen: Snapshot, **over: str) -> tuple[Result, ...]:
    """Return what a check says of this snapshot and a client with these keywords."""
    (client,) = environments(folder, production=settings(well.server, **over))
    return judge([View(client, seen)], [by_id()[check]])


def probed(snapshot: Snapshot, *probes: Probe) -> Snapshot:
    """Return the snapshot with other probes."""
    return replace(snapshot, probe={one.transport: one.as_json() for one in probes})


def test_a_full_server_says_nothing_about_a_user(well: Well, tmp_path: Path) -> None:
    """Neither that it refuses clear text, nor that it does other than the file says."""
    snapshot = probed(well.view.snapshot, FULL)
    (plain,) = judged(well, tmp_path, "tls.plain_accepted", snapshot, sslmode="require")
    assert (plain.status, FULL.message in plain.outcome.message) == ("unknown", True)
    (drift,) = judged(well, tmp_path, "auth.drift", snapshot)
    assert (drift.status, "1 attempts" in drift.outcome.message) == ("ok", True)


def test_a_refusal_in_another_language_is_one(well: Well, tmp_path: Path) -> None:
    """It agrees with a file that refuses, and not with one that does not."""
    (differs,) = judged(well, tmp_path, "auth.drift", probed(well.view.snapshot, GERMAN))
    assert differs.status == "fail"
    with_hba(well.server, (HBA[1],))
    try:
        (view,) = look(environments(tmp_path, production=settings(well.server)), login="auditor")
    finally:
        with_hba(well.server, HBA)
    (agrees,) = judged(well, tmp_path, "auth.drift", probed(view.snapshot, GERMAN))
    assert agrees.status == "ok"
    (plain,) = judged(
        well, tmp_path, "tls.plain_accepted", probed(view.snapshot, GERMAN), sslmode="require"
    )
    assert plain.status == "ok"


def test_what_cannot_be_foretold_is_no_agreement(well: Well, tmp_path: Path) -> None:
    """A line with a host name may decide about every attempt."""
    with_hba(well.server, ("host all all .invalid scram-sha-256", *HBA))
    try:
        (drift,) = of(tmp_path, settings(well.server), "auth.drift")
        (method,) = of(tmp_path, settings(well.server), "auth.method")
    finally:
        with_hba(well.server, HBA)
    assert (drift.status, method.status) == ("unknown", "unknown")
    assert "what name the server finds" in drift.outcome.message
    assert "what name the server finds" in method.outcome.message


def test_the_audits_own_session_counts_too(well: Well, tmp_path: Path) -> None:
    """The server tells by which method it let it in, whatever the file says since."""
    try:
        edited(well.server, (HBA[0], f"host postgres,{DB} postgres 127.0.0.1/32 password"))
        (drift,) = of(tmp_path, settings(well.server), "auth.drift")
        clients = environments(tmp_path, production=settings(well.server))
        (unprobed,) = audited(clients, "auth.drift", probe=False)
    finally:
        with_hba(well.server, HBA)
    for found in (drift, unprobed):
        outcome = found.outcome
        assert (found.status, outcome.object) == ("fail", "session")
        assert (outcome.expected, outcome.observed) == ("password", "scram-sha-256")


@pytest.mark.parametrize(("presented", "status"), [(False, "fail"), (True, "unknown")])
def test_tls_that_asks_for_nothing(
    well: Well,
    tmp_path: Path,
    presented: bool,  # noqa: FBT001 # a table's cell
    status: str,
) -> None:
    """Where the lines are hidden; a client's certificate may be what it was content with."""
    facts = {name: rows for name, rows in well.view.snapshot.facts.items() if name != "hba"}
    snapshot = replace(
        probed(
            well.view.snapshot, Probe("plain", "no_entry", code="28000"), Probe("tls", "nothing")
        ),
        host="db.example.test",
        facts=facts,
        gaps={"hba": Gap("it is hidden")},
        handshake=Handshake("db.example.test", offered=True, presented=presented).as_json(),
    )
    (found,) = judged(well, tmp_path, "auth.method", snapshot, sslmode="require")
    assert found.status == status


def test_lines_that_are_not_in_force_prove_nothing(well: Well, tmp_path: Path) -> None:
    """Without the program's line in a file that was not read, or cannot be, it may still get in."""
    broken = f"host {DB} {APP} 127.0.0.1/32 banana"
    try:
        for lines in ((HBA[1],), (HBA[1], broken)):
            edited(well.server, lines)
            (found,) = of(tmp_path, settings(well.server), "auth.rule")
            assert found.status == "unknown", lines
    finally:
        with_hba(well.server, HBA)
