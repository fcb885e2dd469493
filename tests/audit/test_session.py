from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.audit.conftest import APP, AUDITOR, MONITOR, VIEWERS, endpoint
from tests.pooler import pgbouncer
from tests.servers import PASSWORD, Server
from tests.standby import Standby

from pgstrata.audit.facts import FACTS
from pgstrata.audit.gather import endpoints, look
from pgstrata.audit.judge import judge
from pgstrata.audit.model import Snapshot
from pgstrata.audit.view import View
from pgstrata.check.scope import Connection
from pgstrata.loading import load
from pgstrata.statements import identifier

# From all but the auditor and superusers.
HIDDEN = {"hba", "hba_mtime", "hba_files", "hba_regexes", "ident", "file_settings"}
ALLOWED = re.compile(r"SELECT |SHOW |BEGIN |SET LOCAL |SAVEPOINT |ROLLBACK(;| |$)")


def since(server: Server, names: set[str]) -> set[str]:
    """Return the facts among these that the version has."""
    return {fact.name for fact in FACTS if fact.name in names and fact.since <= server.version}


def statements(log: str) -> list[str]:
    """Return every statement in a server's log, the parts of a message by themselves."""
    found = re.findall(r"LOG:  (?:statement|execute [^:]*): ((?:.*)(?:\n\t.*)*)", log)
    return [part.strip() for text in found for part in text.split(";") if part.strip()]


@pytest.mark.parametrize("viewer", VIEWERS)
def test_each_viewer_reads_all_that_it_may(any_server: Server, viewer: str) -> None:
    """What is missing is missing for a reason, and with the statement that would show it."""
    seen = look(endpoint(any_server, user=viewer), probe=False)
    assert (seen.error, seen.viewer) == ("", viewer)
    missing = {
        APP: since(any_server, {*HIDDEN, "replication", "wal_receiver", "password_kinds"}),
        MONITOR: since(any_server, {*HIDDEN, "password_kinds"}),
        AUDITOR: {"password_kinds"},
    }.get(viewer, set())
    newer = {fact.name for fact in FACTS if fact.since > any_server.version}
    assert seen.gaps.keys() == missing | newer
    for name in missing - {"password_kinds"}:
        assert f"TO {viewer};" in seen.gaps[name].grant
    for name in newer:
        assert f"PostgreSQL {any_server.version} cannot say it" in seen.gaps[name].why


def test_a_grant_shows_what_it_promises(any_server: Server) -> None:
    """The statements of all that is unknown, run by a superuser, close every gap that they can.

    Whatever the role is called.
    """
    role = f'granted "{any_server.version}"; -- Order'
    any_server.sql(f"CREATE ROLE {identifier(role)} LOGIN PASSWORD '{PASSWORD}'")
    place = endpoint(any_server, user=role)
    blind = look(place)
    found = [one.gap for one in judge([View(place.client, blind)]) if one.gap]
    for gap in (*blind.gaps.values(), *found):
        if gap.grant:
            any_server.sql(gap.grant)
    seen = look(place)
    assert not [gap for gap in seen.gaps.values() if gap.grant]
    left = [one.gap for one in judge([View(place.client, seen)]) if one.gap]
    assert not [gap for gap in left if gap.grant]


@pytest.mark.parametrize("viewer", VIEWERS)
def test_nothing_is_sent_that_could_change_anything(any_server: Server, viewer: str) -> None:
    """The server's own log has all statements, and no error."""
    before = len(any_server.log_text())
    assert not look(endpoint(any_server, user=viewer)).error
    log = "\n".join(_of(any_server.log_text()[before:], viewer))
    sent = statements(log)
    assert len(sent) > 2 * len(since(any_server, {"settings"}))
    assert [one for one in sent if not ALLOWED.match(one)] == []
    assert not re.search(r"ERROR|FATAL|WARNING", log)


def _of(log: str, user: str) -> list[str]:
    """Return the entries of one user, which a tab continues."""
    entries = re.split(r"\n(?!\t)", log)
    return [entry for entry in entries if f" {user}@" in entry]


def test_the_transaction_could_not_write(any_server: Server) -> None:
    """It is read-only, and ends with a rollback."""
    before = len(any_server.log_text())
    look(endpoint(any_server), probe=False)
    sent = statements(any_server.log_text()[before:])
    assert sent[0] == "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
    assert sent[-1] == "ROLLBACK"


def test_the_facts_are_about_the_program_and_not_the_viewer(
    any_server: Server, tmp_path: Path
) -> None:
    """A login of its own looks at the role that the program has."""
    shared = any_server.keywords(user=APP)
    auditor = {"connection_settings": {"user": AUDITOR, "password": PASSWORD}}
    (tmp_path / "environments").mkdir()
    sections = {"connection_settings": shared, "connections": {"auditor": auditor}}
    (tmp_path / "environments" / "base.yaml").write_text(json.dumps(sections))
    (tmp_path / "environments" / "test.yaml").write_text("")
    config = load("test", project=tmp_path, environ={})
    program = Connection(config, "default", config.connection())
    (place,) = endpoints(program, "auditor")
    seen = look(place)
    assert seen.viewer == AUDITOR
    assert seen.facts["role"][0]["rolname"] == APP
    assert seen.gaps.keys() == look(endpoint(any_server, user=AUDITOR), probe=False).gaps.keys()


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_a_pooler_is_looked_through_and_recognized(server: Server, mode: str) -> None:
    """It gives out process numbers of its own; only one mode shares a server between two idle
    clients.
    """
    with pgbouncer(server, mode, {"postgres": PASSWORD}) as port:  # type: ignore[arg-type]  # one of the two
        seen = look(endpoint(server, user="postgres", port=port))
    assert seen.error == ""
    client, identity = seen.facts["client"][0], seen.facts["identity"][0]
    assert client["backend_pid"] != identity["backend_pid"]
    assert client["port"] != identity["client_port"]
    assert client["shares_backend"] is (mode == "transaction")


def test_without_a_pooler_both_ends_agree(any_server: Server) -> None:
    """Process, port and encryption are the same at both."""
    seen = look(endpoint(any_server), probe=False)
    client, identity, tls = (seen.facts[name][0] for name in ("client", "identity", "tls"))
    assert client["backend_pid"] == identity["backend_pid"]
    assert client["port"] == identity["client_port"]
    assert client["ssl"] == tls["ssl"]
    assert "shares_backend" not in client


def test_a_standby_is_looked_at_like_a_primary(pair: tuple[Server, Standby]) -> None:
    """It takes part in no write, so a read-only transaction is all that it can give."""
    seen = {
        name: look(endpoint(one, user="postgres"))
        for name, one in zip(("primary", "standby"), pair, strict=True)
    }
    assert {name: one.error for name, one in seen.items()} == {"primary": "", "standby": ""}
    assert not seen["primary"].facts["identity"][0]["in_recovery"]
    assert seen["standby"].facts["identity"][0]["in_recovery"]
    assert seen["standby"].facts["standby"][0]["paused"] is False
    assert _identifier(seen["primary"]) == _identifier(seen["standby"])
    assert seen["primary"].facts["replication"][0]["state"] == "streaming"


def _identifier(seen: Snapshot) -> object:
    return seen.facts["control"][0]["system_identifier"]


def test_secrets_of_a_server_stay_there(any_server: Server) -> None:
    """Nothing that looks like one is in what was seen: parameters of extensions among them."""
    any_server.sql(f"ALTER ROLE {APP} SET app.jwt_secret = 'hush-hush'")
    any_server.sql(f"ALTER ROLE {APP} SET app.key = 'hush-hush'")
    any_server.sql("ALTER SYSTEM SET restore_command = 'curl -u bob:hush-hush https://a/%f'")
    any_server.reload()
    any_server.set_hba(
        (
            "host all all 127.0.0.1/32 scram-sha-256",
            'host all all 10.0.0.0/8 ldap ldapserver=x ldapbasedn="dc=x" ldapbindpasswd=hush-hush',
            "host all all 11.0.0.0/8 ldap ldapserver=x ldapbindpasswd=a hush-hush",
        )
    )
    seen = look(endpoint(any_server, user="postgres"), probe=False)
    mine = look(endpoint(any_server), probe=False)
    any_server.sql("ALTER SYSTEM RESET restore_command")
    assert "hush-hush" not in repr((seen, mine))
    assert "jwt_secret" in repr(mine)
    assert seen.facts["hba"]
