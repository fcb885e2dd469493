"""What servers ask of a user whom they know nothing about yet."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from tests.audit.wire.conftest import answering, parameters
from tests.certificates import Certificates
from tests.servers import Server

from pgstrata.audit.hba import Request
from pgstrata.audit.wire.probe import Probe, ProbeTransport, probe


def error(code: str, message: str) -> bytes:
    """Return the message with which a server ends an attempt."""
    fields = b"".join(word.encode() + b"\0" for word in ("SFATAL", f"C{code}", f"M{message}", ""))
    return b"E" + (len(fields) + 4).to_bytes(4, "big") + fields


@pytest.mark.parametrize(
    ("user", "transport", "request_"),
    [
        ("plain_user", "plain", "scram"),
        ("plain_user", "tls", "scram"),
        ("scram_user", "plain", "no_entry"),
        ("scram_user", "tls", "scram"),
        ("cert_user", "tls", "no_certificate"),
        ("nobody", "tls", "no_entry"),
    ],
)
def test_requests(tls_server: Server, user: str, transport: ProbeTransport, request_: str) -> None:
    """Each role has its own line of pg_hba.conf; without TLS the same user may be refused."""
    found = probe(parameters(tls_server, user=user), transport)
    assert found.request == request_
    assert found.admitted is (request_ == "scram")
    assert (found.code, found.seen_as) == (
        ("", "") if found.admitted else ("28000", "127.0.0.1" if request_ == "no_entry" else "")
    )


def test_channel_binding_is_offered_in_tls_only(tls_server: Server) -> None:
    """The mechanism with PLUS ties the password to this very TLS connection."""
    plain, tls = (
        probe(parameters(tls_server, user="plain_user"), transport).mechanisms
        for transport in ("plain", "tls")
    )
    assert (plain, tls) == (("SCRAM-SHA-256",), ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"))


def test_client_certificate(tls_server: Server, certificates: Certificates) -> None:
    """The client's certificate is presented; whoever has it is let in without a password."""
    pair = certificates.client
    own = {"sslcert": str(pair.certificate), "sslkey": str(pair.key)}
    found = probe(parameters(tls_server, user="cert_user", **own), "tls")
    assert found == Probe("tls", "nothing")


def test_unix_socket(tls_server: Server) -> None:
    """A directory is a Unix socket."""
    found = probe(parameters(tls_server, host=str(tls_server.directory)), "plain")
    assert found.request == "scram"


def test_a_session_that_cannot_start(tls_server: Server, certificates: Certificates) -> None:
    """Whoever needs no password learns in the same go what comes after."""
    pair = certificates.client
    own = {"sslcert": str(pair.certificate), "sslkey": str(pair.key), "dbname": "missing"}
    found = probe(parameters(tls_server, user="cert_user", **own), "tls")
    assert (found.request, found.code) == ("nothing", "3D000")
    assert found.message == 'database "missing" does not exist'


def test_no_tls(server: Server) -> None:
    """A server without TLS says so."""
    assert probe(parameters(server), "tls").request == "no_tls"


@pytest.mark.parametrize("transport", ["plain", "tls"])
@pytest.mark.parametrize("user", ["plain_user", "nobody", "postgres"])
def test_what_the_log_gets(
    tls_server: Server, logged: Callable[[], str], transport: ProbeTransport, user: str
) -> None:
    """Nothing, but the one FATAL line of a refusal; in particular no failed login."""
    found = probe(parameters(tls_server, user=user), transport)
    tls_server.sql("SELECT 1")
    lines = logged().splitlines()
    assert len(lines) == (not found.admitted)
    assert all("FATAL:  no pg_hba.conf entry" in line for line in lines)


def test_an_admitted_probe_ends_in_an_orderly_way(
    tls_server: Server, certificates: Certificates, logged: Callable[[], str]
) -> None:
    """A session that starts without a password is closed as libpq closes it."""
    pair = certificates.client
    own = {"sslcert": str(pair.certificate), "sslkey": str(pair.key)}
    assert probe(parameters(tls_server, user="cert_user", **own), "tls").request == "nothing"
    deadline = time.monotonic() + 60
    while tls_server.sql("SELECT 1 FROM pg_stat_activity WHERE usename = 'cert_user'"):
        assert time.monotonic() < deadline
    assert logged() == ""


@pytest.mark.parametrize("transport", ["plain", "tls"])
def test_nobody_answers(transport: ProbeTransport) -> None:
    """A server that accepts and says nothing holds the probe up for its seconds only."""
    began = time.monotonic()
    with answering(None) as where:
        found = probe(where, transport, seconds=0.2)
        assert time.monotonic() - began < 30
    assert (found.request, found.message, found.answered) == (
        "unreachable",
        "no answer in time",
        False,
    )


@pytest.mark.parametrize(
    ("over", "words"),
    [
        ({"port": "1"}, "refused"),
        ({"host": "x" * 70 + ".invalid"}, "cannot be the name"),
        ({"host": "/nowhere"}, "No such file"),
    ],
)
def test_no_server(server: Server, over: dict[str, str], words: str) -> None:
    """Why there is no connection, in the system's words."""
    found = probe({**parameters(server), **over}, "plain")
    assert found.request == "unreachable"
    assert words in found.message
    assert found.message


@pytest.mark.parametrize(
    ("answer", "transport", "request_"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "plain", "garbled"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "tls", "garbled"),
        (b"", "plain", "unreachable"),
        (b"S", "tls", "tls_failed"),
        (b"Snonsense", "tls", "tls_failed"),
        (b"R\0\0\0\x08\0\0\0\x63", "plain", "refused"),
        (b"R\x7f\0\0\0", "plain", "garbled"),
        (b"R\0\0\0\4", "plain", "garbled"),
        (b"Z\0\0\0\5I", "plain", "garbled"),
        (b"N\0\0\0\5\0R\0\0\0\x0c\0\0\0\5salt", "plain", "md5"),
        (b"R\0\0\0\x15\0\0\0\x0aOAUTHBEARER\0\0\0", "plain", "oauth"),
        (b"R\0\0\0\x08\0\0\0\7", "plain", "gss"),
        (error("53300", "sorry, too many clients already"), "plain", "unavailable"),
        (error("57P03", "the database system is starting up"), "plain", "unavailable"),
        (error("08P01", "SSL required"), "plain", "unavailable"),
        (error("28000", "kein pg_hba.conf-Eintrag"), "plain", "refused"),
        (error("28P01", "password authentication failed"), "plain", "refused"),
        (error("28000", 'no pg_hba.conf entry for host "::1"'), "plain", "no_entry"),
    ],
)
def test_other_answers(answer: bytes, transport: ProbeTransport, request_: str) -> None:
    """Whatever answers, the probe ends with a word for it."""
    with answering(answer) as where:
        assert probe(where, transport, seconds=60).request == request_


def test_a_reset_while_tls_is_agreed_about() -> None:
    """Whether the system tells of an end or of a reset is a matter of moments."""
    with answering(b"S", reset=True) as where:
        found = probe(where, "tls", seconds=60)
    assert found.request == "tls_failed"
    assert "reset" in found.message


@pytest.mark.parametrize(
    ("request_", "expected", "agrees"),
    [
        ("scram", {"scram", "md5"}, True),
        ("scram", {"md5"}, False),
        ("refused", {"reject"}, True),
        ("refused", {"scram"}, False),
        ("no_entry", {"reject"}, False),
    ],
)
def test_what_a_probe_may_stand_for(request_: Request, expected: set[str], agrees: bool) -> None:  # noqa: FBT001 # a table's cell
    """A refusal in another language may be any refusal, one in English only its own."""
    assert Probe("plain", request_).agrees(expected) is agrees


def test_physical_replication_is_asked_for(server: Server) -> None:
    """Only lines with that word match it."""
    found = probe(parameters(server, user="nobody"), "plain", replication=True)
    assert found.request == "no_entry"
    assert probe(parameters(server, user="nobody"), "plain").request == "scram"


def test_an_unusable_key(tls_server: Server, certificates: Certificates) -> None:
    """A key that does not open is named before anything is sent, and no terminal is asked."""
    pair = certificates.encrypted_client
    own = {"sslcert": str(pair.certificate), "sslkey": str(pair.key), "sslpassword": "wrong one"}
    found = probe(parameters(tls_server, **own), "tls")
    assert found.request == "tls_failed"
    assert "sslpassword" in found.message
    assert "wrong one" not in found.message


def test_json(tls_server: Server) -> None:
    """A probe survives being saved."""
    found = probe(parameters(tls_server), "tls")
    assert Probe.from_json(json.loads(json.dumps(found.as_json()))) == found
