"""Behind a pooler: what probes show is the pooler's, and what SQL shows the server's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.audit.program import APP, Well, audited, environments, merged, run_sql, settings
from tests.certificates import Certificates
from tests.pooler import pgbouncer
from tests.servers import PASSWORD, Server

USERS = {APP: PASSWORD, "postgres": PASSWORD}
MANY = {"services": [{"name": "web", "replicas": 125}]}  # times 4


@pytest.fixture(scope="module")
def port(well: Well) -> Iterator[int]:
    """Return the port of a pooler that asks for md5, as that of a server whose roles have SCRAM."""
    with pgbouncer(well.server, "transaction", USERS, conf="auth_type = md5\n") as found:
        yield found


def statuses(folder: Path, files: Mapping[str, Any], *checks: str) -> dict[str, str]:
    """Return the worst status of each of these checks that says anything."""
    results = audited(environments(folder, production=files), *checks)
    return {one.check: one.status for one in results}


@pytest.mark.parametrize(
    ("declared", "status"),
    [
        ({"pooler_connections": 20}, "ok"),
        ({"pooler_connections": 60}, "fail"),
        ({}, "unknown"),
    ],
)
@pytest.mark.parametrize("pooler", [{"pooler": "session"}, {}], ids=["declared", "found"])
def test_limits_are_for_what_the_pooler_opens(
    well: Well,
    port: int,
    tmp_path: Path,
    declared: dict[str, int],
    status: str,
    pooler: dict[str, str],
) -> None:
    """However many clients it has; where that is not declared nobody can tell."""
    checks = ("cap.role_limit", "cap.db_limit", "cap.work_mem", "cap.slots", "cap.cpu")
    memory = {"session_settings": {"work_mem": "6MB"}, "server": {**declared}}
    files = merged(settings(well.server, port=port), MANY | memory | pooler)
    run_sql(
        well.server,
        (
            f"ALTER ROLE {APP} CONNECTION LIMIT 50",
            "ALTER DATABASE appdb CONNECTION LIMIT 50",
            f"ALTER ROLE {APP} SET work_mem = '6MB'",
        ),
    )
    try:
        found = statuses(tmp_path, files, *checks)
    finally:
        run_sql(
            well.server,
            (
                f"ALTER ROLE {APP} CONNECTION LIMIT -1",
                "ALTER DATABASE appdb CONNECTION LIMIT -1",
                f"ALTER ROLE {APP} RESET work_mem",
            ),
        )
    memory_status = "warn" if status == "fail" else status
    assert found == {
        "cap.role_limit": status,
        "cap.db_limit": status,
        "cap.work_mem": memory_status,
    }


@pytest.mark.parametrize("pooler", [{"pooler": "session"}, {}], ids=["declared", "found"])
def test_the_poolers_words_are_not_the_servers(
    well: Well, port: int, tmp_path: Path, pooler: dict[str, str]
) -> None:
    """That it asks for md5 says nothing of the password or the file; the line for it counts."""
    checks = ("auth.rule", "auth.method", "auth.pooler_user", "auth.hash", "auth.drift")
    files = settings(well.server, port=port) | pooler
    assert statuses(tmp_path, files, *checks) == {
        "auth.pooler_user": "ok",
        "auth.hash": "ok",
        "auth.drift": "unknown",
    }


def test_versions_of_tls_behind_a_pooler(
    well_tls: Server, lasting: Certificates, tmp_path: Path
) -> None:
    """The client meets those of the pooler, which SQL does not show."""
    pair = lasting.server
    conf = (
        "client_tls_sslmode = allow\nserver_tls_sslmode = require\n"
        f"client_tls_cert_file = {{folder}}/{pair.certificate.name}\n"
        f"client_tls_key_file = {{folder}}/{pair.key.name}\n"
    )
    files = (pair.certificate, pair.key)
    with pgbouncer(well_tls, "session", USERS, conf=conf, files=files) as port:
        client = settings(well_tls, port=port, sslmode="require")
        found = statuses(tmp_path, client, "tls.min_protocol", "auth.pooler_user")
    assert found == {"tls.min_protocol": "unknown", "auth.pooler_user": "ok"}
