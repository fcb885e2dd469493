"""A program that is in order, the servers it connects to, and what an audit says of both.

What is shown of a check is a state of a real server, or of the program's own configuration, in
which it fires; that its fix, applied, silences it; and that it passes where all is well.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from tests.servers import LOADED, PASSWORD, Server

from pgstrata.audit.checks import CHECKS
from pgstrata.audit.judge import judge
from pgstrata.audit.model import Check, Fix, Result, Snapshot, Status
from pgstrata.audit.run import look
from pgstrata.audit.view import View
from pgstrata.check.scope import Connection
from pgstrata.loading import load_many

APP, DB, AUDITOR = "app", "appdb", "auditor"
CONF = """\
max_connections = 60
ssl_ca_file = ''
wal_level = replica
shared_buffers = 128MB
max_wal_size = 4GB
min_wal_size = 1GB
tcp_keepalives_idle = 60
tcp_keepalives_interval = 10
tcp_keepalives_count = 6
client_connection_check_interval = 10s
"""
HBA = (
    f"host {DB} {APP} 127.0.0.1/32 scram-sha-256",
    "host postgres,appdb postgres 127.0.0.1/32 scram-sha-256",
)
# What the program gets after a case has changed something.
RESET = (
    f"ALTER ROLE {APP} NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS",
    f"ALTER ROLE {APP} LOGIN CONNECTION LIMIT -1 VALID UNTIL 'infinity'",
    f"ALTER ROLE {APP} RESET ALL",
    f"ALTER ROLE {APP} IN DATABASE {DB} RESET ALL",
    f"ALTER DATABASE {DB} RESET ALL",
    f"ALTER DATABASE {DB} CONNECTION LIMIT -1",
    f"ALTER DATABASE {DB} OWNER TO postgres",
)


def settings(server: Server, **over: Any) -> dict[str, Any]:
    """Return the files' content of a program that is in order."""
    return {
        "connection_type": "pool",
        "connection_settings": {
            **server.keywords(user=APP, dbname=DB, connect_timeout=10),
            "application_name": "web",
            "sslmode": "disable",
            "target_session_attrs": "read-write",
            "tcp_user_timeout": 30000,
            "keepalives_idle": 60,
            **over,
        },
        "session_settings": {
            "statement_timeout": "30s",
            "lock_timeout": "10s",
            "idle_in_transaction_session_timeout": "1min",
        },
        "pool_settings": {"min_size": 1, "max_size": 4, "timeout": 30},
        "client_addresses": ["127.0.0.1"],
        "services": [{"name": "web", "replicas": 2}],
        "server": {
            "cpus": 4,
            "memory": "512MB",
            "storage": "disk",
            "idle_limit": 350,
            "other_connections": 2,
        },
        "connections": {AUDITOR: {"connection_settings": {"user": "postgres"}}},
    }


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested maps, the second one over the first."""
    result = dict(deepcopy(base))
    for key, value in over.items():
        old = result.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[key] = merged(old, value) if both else value  # type: ignore[arg-type]  # both are
    return result


def environments(folder: Path, **files: Mapping[str, Any]) -> list[Connection]:
    """Write a project with these environments, and return the default connection of each."""
    home = folder / "environments"
    home.mkdir(parents=True, exist_ok=True)
    (home / "base.yaml").write_text("{}")
    for name, content in files.items():
        (home / f"{name}.yaml").write_text(json.dumps(content))
    loaded = load_many(list(files), project=folder, environ={})
    found = []
    for name in files:
        config = loaded[name]
        assert not isinstance(config, Exception), config
        found.append(Connection(config, "default", config.connection()))
    return found


def audited(
    clients: Iterable[Connection], *checks: str, login: str = AUDITOR, probe: bool = True
) -> tuple[Result, ...]:
    """Return what these checks say, or all of them."""
    views = look(list(clients), login=login, probe=probe)
    return judge(views, [by_id()[one] for one in checks] or CHECKS)


@cache
def by_id() -> Mapping[str, Check]:
    """Return all checks by their ids."""
    return {check.id: check for check in CHECKS}


@dataclass(frozen=True)
class Case:
    """A state in which a check fires: of the program's files, or of the server by SQL.

    ``says`` is in the message. ``mended`` is over the files afterwards, ``undone`` SQL for the
    server; with neither, the fixes that the finding itself gives are applied as they are written.
    ``hba`` are the lines of pg_hba.conf instead of ``HBA``, which is put back as the fix.
    """

    check: str
    status: Status
    says: str
    client: Mapping[str, Any] = field(default_factory=dict)
    sql: tuple[str, ...] = ()
    hba: tuple[str, ...] = ()
    mended: Mapping[str, Any] | None = None
    undone: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.check}: {self.says}"


def shown(case: Case, well: Well, folder: Path) -> None:
    """See the check fire, apply the fix, and see it silent."""
    server, files = well.server, merged(settings(well.server), case.client)
    # What only the program's files say needs no other look at the server.
    seen = None if case.sql or case.hba else well.view.snapshot
    try:
        run_sql(server, case.sql)
        if case.hba:
            with_hba(server, case.hba)
        said = of(folder, files, case.check, seen)
        fired = [result for result in said if case.says in result.outcome.message]
        assert {result.status for result in fired} == {case.status}, said
        if mend(case, server, [fix for result in fired for fix in result.outcome.fix]):
            seen = None
        objects = {result.outcome.object for result in fired}
        said = of(folder, merged(files, case.mended or {}), case.check, seen)
        left = [result for result in said if result.outcome.object in objects]
        assert {result.status for result in left} <= {"ok"}, left
    finally:
        put_back(case, server, changed=seen is None)


def mend(case: Case, server: Server, fixes: list[Fix]) -> bool:
    """Do by hand what the finding says, or what the case has in its place; tell whether that was
    done to the server.
    """
    if case.hba:
        with_hba(server, HBA)
    elif case.mended is not None or case.undone:
        run_sql(server, case.undone)
        return bool(case.undone)
    else:
        assert fixes
        parts = (part for fix in fixes for part in fix.statement.partition("  --")[0].split(";"))
        run_sql(server, tuple(filter(None, map(str.strip, parts))))
    return True


def put_back(case: Case, server: Server, *, changed: bool) -> None:
    """Make the server what it was."""
    if changed:
        run_sql(server, RESET)
    if changed and not case.hba:
        run_sql(server, ("ALTER SYSTEM RESET ALL",))
    if case.hba:
        with_hba(server, HBA)


def with_hba(server: Server, lines: Iterable[str]) -> None:
    """Give a server these lines of pg_hba.conf, and have it read them."""
    server.set_hba(tuple(lines))
    reload(server)


def run_sql(server: Server, statements: Sequence[str]) -> None:
    """Run statements as the superuser in the program's database, and reload where files changed."""
    if statements:
        keywords = server.keywords(host=str(server.directory), dbname=DB, autocommit=True)
        with psycopg.connect(**keywords) as connection:
            for statement in statements:
                connection.execute(statement.encode())
    if any(statement.startswith("ALTER SYSTEM") for statement in statements):
        reload(server)


def reload(server: Server) -> None:
    """Have the server read its files, and return when new sessions see that it has."""
    ((before,),) = server.sql(LOADED)
    server.sql("SELECT pg_reload_conf()")
    wait_for(server, f"SELECT pg_conf_load_time() > '{before}'")


def wait_for(server: Server, query: str) -> None:
    """Return when the server says yes."""
    deadline = time.monotonic() + 60
    while not server.sql(query)[0][0]:
        assert time.monotonic() < deadline, query
        time.sleep(0.02)


def of(
    folder: Path, files: Mapping[str, Any], check: str, seen: Snapshot | None = None
) -> tuple[Result, ...]:
    """Return what one check says of one environment, at another look or of what was seen."""
    clients = environments(folder, production=files)
    if seen is None:
        return audited(clients, check)
    return judge([View(clients[0], seen)], [by_id()[check]])


def prepared(server: Server) -> Server:
    """Give a server the program's role and database."""
    server.sql(f"CREATE ROLE {APP} LOGIN PASSWORD '{PASSWORD}'")
    server.sql(f"CREATE DATABASE {DB}")
    return server


@dataclass(frozen=True)
class Well:
    """A server that is in order, and what is seen of the program that is, by a superuser."""

    server: Server
    view: View
