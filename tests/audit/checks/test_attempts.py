"""Which attempts pg_hba.conf is asked about: those of the client, as its libpq makes them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.audit.program import (
    APP,
    DB,
    HBA,
    Well,
    by_id,
    environments,
    merged,
    of,
    reload,
    settings,
    with_hba,
)
from tests.certificates import Certificates
from tests.servers import Server

from pgstrata.audit import outside
from pgstrata.audit.judge import judge
from pgstrata.audit.model import Result, Snapshot
from pgstrata.audit.view import View
from pgstrata.model import Setting

ADMIN = HBA[1]
FAR = {"client_addresses": ["10.2.0.0/16"]}


def seen(
    well: Well, folder: Path, check: str, files: Mapping[str, Any], snapshot: Snapshot | None = None
) -> tuple[Result, ...]:
    """Return what a check says of such a client, of a server that is in order or as given."""
    (client,) = environments(folder, production=merged(settings(well.server), files))
    return judge([View(client, snapshot or well.view.snapshot)], [by_id()[check]])


def said(
    well: Well, folder: Path, check: str, lines: tuple[str, ...], **connection: Any
) -> tuple[Result, ...]:
    """Return what a check says of a server with these lines and a client with these keywords."""
    with_hba(well.server, lines)
    try:
        return of(folder, settings(well.server, **connection) | FAR, check)
    finally:
        with_hba(well.server, HBA)


def test_a_server_without_tls_is_asked_in_clear_text(well: Well, tmp_path: Path) -> None:
    """A line that needs TLS lets nobody in, and the line that is printed needs none."""
    lines = (f"hostssl {DB} {APP} 127.0.0.1/32 scram-sha-256", ADMIN)
    (found,) = said(well, tmp_path, "auth.rule", lines, sslmode="prefer")
    assert (found.status, found.outcome.expected) == ("fail", HBA[0])


@pytest.mark.parametrize("check", ["auth.rule", "auth.method"])
@pytest.mark.parametrize(
    ("keyword", "why"),
    [("sslmode", "the server does not speak TLS"), ("gssencmode", "Kerberos ticket is unseen")],
)
def test_attempts_that_nobody_can_foretell(
    well: Well, tmp_path: Path, check: str, keyword: str, why: str
) -> None:
    """Nothing is said of a way that the client does not take, if it requires another."""
    (client,) = environments(tmp_path, production=settings(well.server))
    required = Setting(f"connection_settings.{keyword}", "require", client.home)
    client = replace(client, settings={**client.settings, required.key: required})
    (found,) = judge([View(client, well.view.snapshot)], [by_id()[check]])
    assert (found.status, why in found.outcome.message) == ("unknown", True)


@pytest.mark.parametrize(
    ("replication", "expected"),
    [("true", f"host replication {APP} 127.0.0.1/32 scram-sha-256"), ("database", "")],
)
def test_physical_replication_needs_its_own_word(
    well: Well, tmp_path: Path, replication: str, expected: str
) -> None:
    """The word all does not match it; the logical one is like any other connection."""
    lines = (f"host all {APP} 127.0.0.1/32 scram-sha-256", ADMIN)
    (found,) = said(well, tmp_path, "auth.rule", lines, replication=replication)
    assert (found.status, found.outcome.expected) == ("fail" if expected else "ok", expected)
    (drift,) = said(well, tmp_path, "auth.drift", lines, replication=replication)
    assert drift.status == "ok"


def test_a_client_of_the_same_machine_comes_from_there(well: Well, tmp_path: Path) -> None:
    """Where others come from says nothing of a Unix socket, nor of a loopback address."""
    socket = str(well.server.directory)
    (found,) = said(well, tmp_path, "auth.rule", HBA, host=socket)
    assert (found.outcome.object, found.outcome.expected) == (
        "a Unix socket",
        f"local {DB} {APP} scram-sha-256",
    )
    (found,) = said(well, tmp_path, "auth.rule", HBA)
    assert (found.outcome.object, found.status) == ("127.0.0.1/32", "ok")


@pytest.mark.parametrize("mode", ["allow", "disable"])
def test_libpqs_own_folder_counts(
    lasting: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """What lies in it is presented and looked at, unless the client says that it has none."""
    folder = tmp_path / ".postgresql"
    folder.mkdir()
    (folder / "postgresql.crt").write_bytes(lasting.client.certificate.read_bytes())
    (folder / "postgresql.key").write_bytes(lasting.client.key.read_bytes())
    (folder / "root.crt").write_bytes(lasting.ca.read_bytes())
    monkeypatch.setenv("HOME", str(tmp_path))
    found = outside.files({"sslcertmode": mode})
    presented = mode == "allow"
    keywords = ["sslcert", "sslrootcert"] if presented else ["sslrootcert"]
    assert [row["keyword"] for row in found["client_certificates"]] == keywords
    assert [row["path"] for row in found["client_key"]] == (
        [str(folder / "postgresql.key")] if presented else []
    )


def test_the_server_evaluates_its_regular_expressions(well: Well, tmp_path: Path) -> None:
    """Also those that mean nothing, or something else, in Python."""
    lines = (f'host {DB} "/^[[:alpha:]]+$" 127.0.0.1/32 scram-sha-256', ADMIN)
    (found,) = said(well, tmp_path, "auth.rule", lines)
    assert found.status == "ok"


@pytest.mark.parametrize(
    ("grants", "statuses"),
    [
        (("pg_hba_file_rules",), {"unknown"}),
        (("pg_hba_file_rules", "FUNCTION pg_hba_file_rules()"), {"unknown"}),
        (
            ("pg_hba_file_rules", "FUNCTION pg_hba_file_rules()", "FUNCTION pg_stat_file(text)"),
            {"ok"},
        ),
    ],
    ids=["view", "lines", "lines and age"],
)
def test_half_of_the_grants_is_no_certainty(
    well: Well, tmp_path: Path, grants: tuple[str, ...], statuses: set[str]
) -> None:
    """Who sees the lines and not their age cannot tell whether they are in force."""
    rights = [f"{'EXECUTE' if 'FUNCTION' in it else 'SELECT'} ON {it}" for it in grants]
    statements = [f"GRANT {right} TO {APP}" for right in rights]
    undone = [f"REVOKE {right} FROM {APP}" for right in rights]
    keywords = {"user": APP, "dbname": DB}
    try:
        for statement in (f"GRANT pg_read_all_settings TO {APP}", *statements):
            well.server.sql(statement, dbname=DB)
        files = settings(well.server, **keywords)
        files["connections"]["auditor"]["connection_settings"]["user"] = APP
        found = of(tmp_path, files, "auth.rule") + of(tmp_path, files, "auth.method")
        reasons = {result.outcome.message for result in found}
    finally:
        for statement in (f"REVOKE pg_read_all_settings FROM {APP}", *undone):
            well.server.sql(statement, dbname=DB)
    assert {result.status for result in found} == statuses, reasons


def test_an_included_file_that_was_not_read_again(well: Well, tmp_path: Path) -> None:
    """Its age counts as that of the file itself."""
    included = well.server.data / "more.conf"
    included.write_text(f"{ADMIN}\n")
    included.chmod(0o644)
    with_hba(well.server, (HBA[0], f"include {included}"))
    try:
        (before,) = of(tmp_path, settings(well.server), "auth.not_reloaded")
        later = "SELECT (pg_stat_file('more.conf')).modification > pg_conf_load_time()"
        deadline = time.monotonic() + 60
        while not well.server.sql(later)[0][0]:  # the clock of files goes in steps
            assert time.monotonic() < deadline
            included.touch()
        (after,) = of(tmp_path, settings(well.server), "auth.not_reloaded")
        (unsure,) = of(tmp_path, settings(well.server), "auth.rule")
        reload(well.server)
        (read,) = of(tmp_path, settings(well.server), "auth.not_reloaded")
    finally:
        with_hba(well.server, HBA)
        included.unlink()
    assert [one.status for one in (before, after, unsure, read)] == ["ok", "warn", "unknown", "ok"]
    assert "more.conf" in after.outcome.message


def test_a_missing_age_is_a_doubt(well: Well, tmp_path: Path) -> None:
    """Also in a snapshot that somebody else has saved."""
    facts = {name: rows for name, rows in well.view.snapshot.facts.items() if name != "hba_mtime"}
    snapshot = replace(well.view.snapshot, facts=facts)
    (found,) = seen(well, tmp_path, "auth.rule", {}, snapshot)
    assert found.status == "unknown"
    assert "whether the server has read the file" in found.outcome.message


def test_parts_that_only_one_way_has(well_tls: Server, tmp_path: Path) -> None:
    """A line for TLS divides the clients, and each part is asked about in clear text too."""
    elsewhere = {"host": "db.example.test", "hostaddr": "127.0.0.1", "sslmode": "prefer"}
    with_hba(well_tls, (f"hostssl {DB} {APP} 10.2.0.0/17 scram-sha-256", *HBA))
    try:
        found = of(tmp_path, settings(well_tls, **elsewhere) | FAR, "auth.rule")
    finally:
        with_hba(well_tls, HBA)
    assert {(one.outcome.object, one.status) for one in found} == {
        ("10.2.0.0/17", "ok"),
        ("10.2.128.0/17", "fail"),
    }


def test_a_client_certificate_is_no_password(well_tls: Server, tmp_path: Path) -> None:
    """Trust with a certificate of the authority lets in whoever has any, as anybody."""
    line = f"hostssl {DB} {APP} 127.0.0.1/32 trust clientcert=verify-ca"
    with_hba(well_tls, (line, ADMIN))
    try:
        (found,) = of(tmp_path, settings(well_tls, sslmode="require"), "auth.method")
    finally:
        with_hba(well_tls, HBA)
    assert found.status == "warn"
    assert "any certificate of the authority" in found.outcome.message
