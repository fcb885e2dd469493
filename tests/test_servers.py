from __future__ import annotations

import os
from typing import TYPE_CHECKING

import psycopg
import pytest
from tests.certificates import KEY_PASSWORD
from tests.servers import Server

if TYPE_CHECKING:
    from pathlib import Path

    from tests.certificates import Certificates


def connect_tls(server: Server, ca: Path, **over: str) -> tuple[str, bool]:
    """Return the user and whether TLS is in use, of a connection that checks the server's name."""
    keywords = server.keywords(sslmode="verify-full", sslrootcert=str(ca), user="scram_user")
    query = "SELECT current_user::text, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    with psycopg.connect(**keywords | over) as connection:
        row: tuple[str, bool] | None = connection.execute(query).fetchone()
        assert row is not None
        return row


def test_database_is_fresh(server: Server, database: str) -> None:
    """A test gets a database of its own without tables."""
    with psycopg.connect(**server.keywords(dbname=database)) as connection:
        tables = connection.execute("SELECT FROM pg_tables WHERE schemaname = 'public'")
        assert tables.fetchall() == []


def test_wrong_password_is_refused(server: Server) -> None:
    """Other users of the machine cannot get in."""
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(**server.keywords(password="guess"))


def test_restart_keeps_port_and_reads_settings(server: Server) -> None:
    """After a restart the server is where it was, with what was added to its settings."""
    with Server.running(server.bindir) as own:
        own.append_conf("max_connections = 17")
        own.restart()
        with psycopg.connect(**own.keywords()) as connection:
            assert connection.execute("SHOW max_connections").fetchone() == ("17",)
        own.set_hba(["host all all 127.0.0.1/32 reject"])
        own.reload()
        with pytest.raises(psycopg.OperationalError, match="rejects connection"):
            psycopg.connect(**own.keywords())
        own.stop("immediate")
        assert "immediate shutdown" in own.log_text()
    assert not own.directory.exists()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_tls_verifies_the_server(tls_server: Server, certificates: Certificates, host: str) -> None:
    """A handshake with verify-full succeeds by name and by address."""
    assert connect_tls(tls_server, certificates.ca, host=host) == ("scram_user", True)


def test_tls_refuses_another_authority(tls_server: Server, certificates: Certificates) -> None:
    """A server whose certificate another authority signed is not believed."""
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        connect_tls(tls_server, certificates.other_ca)


def test_tls_certificate_logs_in(tls_server: Server, certificates: Certificates) -> None:
    """The client's certificate stands for the password."""
    pair = certificates.client
    client = {"sslcert": str(pair.certificate), "sslkey": str(pair.key), "user": "cert_user"}
    assert connect_tls(tls_server, certificates.ca, **client) == ("cert_user", True)


def test_plain_role_needs_no_tls(tls_server: Server) -> None:
    """One role may connect without TLS, the others may not."""
    psycopg.connect(**tls_server.keywords(user="plain_user", sslmode="disable")).close()
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        psycopg.connect(**tls_server.keywords(user="scram_user", sslmode="disable"))


@pytest.mark.parametrize(
    ("kind", "message"),
    [("expired", "certificate verify failed"), ("wrong_host", "does not match")],
)
def test_bad_certificates_are_refused(
    tls_server: Server, certificates: Certificates, kind: str, message: str
) -> None:
    """The expired certificate and that of another host fail for the reason they were made for."""
    try:
        tls_server.set_tls(getattr(certificates, kind), certificates.ca)
        tls_server.reload()
        with pytest.raises(psycopg.OperationalError, match=message):
            connect_tls(tls_server, certificates.ca)
    finally:
        tls_server.set_tls(certificates.server, certificates.ca)
        tls_server.reload()


def test_encrypted_key_needs_its_password(tls_server: Server, certificates: Certificates) -> None:
    """The encrypted client key opens with its password only."""
    pair = certificates.encrypted_client
    client = {"sslcert": str(pair.certificate), "sslkey": str(pair.key), "user": "cert_user"}
    assert connect_tls(tls_server, certificates.ca, **client, sslpassword=KEY_PASSWORD)[1]
    with pytest.raises(psycopg.OperationalError, match="could not load private key"):
        connect_tls(tls_server, certificates.ca, **client, sslpassword="guess")


def test_developer_settings_are_hidden() -> None:
    """No PG* or PGSTRATA_* variable of the developer's decides what a test sees."""
    assert [name for name in os.environ if name.startswith(("PG", "PGSTRATA_"))] == []
