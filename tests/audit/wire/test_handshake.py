"""TLS with the client's own files: agreement with libpq, and the reasons where it fails."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from tests.audit.wire.conftest import answering, parameters
from tests.certificates import DAY, Authority, Certificates, Pair
from tests.servers import Server
from tests.versions import bindir

from pgstrata.audit.wire.handshake import Handshake, handshake
from pgstrata.audit.wire.tls import default_file

HOSTS = ("localhost", "127.0.0.1", "db.example.com", "a.b.example.com", "other.test")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Authority, Path]:
    """Return an authority of our own, and the folder with its certificate, ca.crt."""
    folder = tmp_path_factory.mktemp("authority")
    made = Authority("handshakes")
    made.write(folder / "ca.crt")
    return made, folder


PAIRS: dict[str, Callable[[Authority, Path], Pair]] = {
    "both": lambda ca, stem: ca.issue(stem, "x", hosts=("localhost", "127.0.0.1")),
    "name": lambda ca, stem: ca.issue(stem, "127.0.0.1", hosts=("db.example.com",)),
    "wildcard": lambda ca, stem: ca.issue(stem, "x", hosts=("*.example.com",)),
    "common-name": lambda ca, stem: ca.issue(stem, "DB.example.com", server=True),
    "common-name-wildcard": lambda ca, stem: ca.issue(stem, "*.example.com", server=True),
    "common-name-address": lambda ca, stem: ca.issue(stem, "127.0.0.1", server=True),
    "address-only": lambda ca, stem: ca.issue(stem, "localhost", hosts=("127.0.0.1",)),
    "expired": lambda ca, stem: ca.issue(
        stem, "x", hosts=("localhost",), since=-3 * DAY, until=-DAY
    ),
    "future": lambda ca, stem: ca.issue(stem, "x", hosts=("localhost",), since=DAY, until=2 * DAY),
    "clients": lambda ca, stem: ca.issue(stem, "localhost"),
}


@pytest.fixture
def restored(tls_server: Server, certificates: Certificates) -> Iterator[Server]:
    """Return the server with TLS, and give it back its own certificate afterwards."""
    yield tls_server
    tls_server.set_tls(certificates.server, certificates.ca)
    tls_server.reload()


def accepted_by_libpq(server: Server, host: str, root: str, **more: str) -> bool:
    """Tell whether libpq trusts the server under verify-full; the password does not matter."""
    keywords = parameters(server, host=host, hostaddr="127.0.0.1", sslrootcert=root, **more)
    try:
        psycopg.connect(**keywords, password="wrong", sslmode="verify-full").close()  # type: ignore[arg-type]  # texts
    except psycopg.OperationalError as error:
        return "password authentication failed" in str(error)
    return True


@pytest.mark.parametrize("kind", PAIRS)
def test_agrees_with_libpq(restored: Server, authority: tuple[Authority, Path], kind: str) -> None:
    """Whether verify-full works is the same here and in libpq, for each host and certificate."""
    ca, folder = authority
    restored.set_tls(PAIRS[kind](ca, folder / kind), folder / "ca.crt")
    restored.reload()
    root = str(folder / "ca.crt")
    ours = {
        host: handshake(parameters(restored, host=host, hostaddr="127.0.0.1", sslrootcert=root))
        for host in HOSTS
    }
    theirs = {host: accepted_by_libpq(restored, host, root) for host in HOSTS}
    assert {host: found.verifies for host, found in ours.items()} == theirs


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("expired", "certificate has expired"),
        ("future", "certificate is not yet valid"),
        ("clients", "unsuitable certificate purpose"),
    ],
)
def test_reasons(
    restored: Server, authority: tuple[Authority, Path], kind: str, reason: str
) -> None:
    """The reason for distrust is OpenSSL's, and what the certificate says is known all the same."""
    ca, folder = authority
    restored.set_tls(PAIRS[kind](ca, folder / f"{kind}-2"), folder / "ca.crt")
    restored.reload()
    found = handshake(parameters(restored, host="localhost", sslrootcert=str(folder / "ca.crt")))
    assert (found.trusted, found.offered, found.error) == (False, True, "")
    assert reason in found.distrust.lower()
    assert found.version == "TLSv1.3"
    assert [one.issuer for one in found.chain][:1] == ["CN=handshakes"]


def test_revoked(restored: Server, authority: tuple[Authority, Path]) -> None:
    """A certificate that its authority has taken back is not trusted, nor by libpq."""
    ca, folder = authority
    pair = PAIRS["both"](ca, folder / "revoked")
    restored.set_tls(pair, folder / "ca.crt")
    restored.reload()
    lists = {"sslcrl": str(ca.revoke(folder / "list.crl", pair.certificate))}
    where = parameters(restored, host="localhost", sslrootcert=str(folder / "ca.crt"))
    assert handshake(where).verifies
    found = handshake({**where, **lists})
    assert (found.trusted, found.distrust) == (False, "certificate revoked")
    assert not accepted_by_libpq(restored, "localhost", where["sslrootcert"], **lists)


@pytest.mark.parametrize("bound", ["min", "max"])
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_versions(tls_server: Server, bound: str, version: str) -> None:
    """The client's own limits hold."""
    found = handshake(parameters(tls_server, **{f"ssl_{bound}_protocol_version": version}))
    assert found.version == (version if bound == "max" else "TLSv1.3")


def test_trusted(tls_server: Server, certificates: Certificates) -> None:
    """Everything that can be known of a server that is as it should be."""
    found = handshake(parameters(tls_server, host="localhost", sslrootcert=str(certificates.ca)))
    own, *_ = found.chain
    assert (found.trusted, found.host_matches, found.verifies) == (True, True, True)
    assert (found.asks_certificate, found.presented, found.configured) == (True, False, True)
    assert (own.dns_names, own.ip_addresses) == (("localhost",), ("127.0.0.1",))
    assert own.not_before < own.not_after
    assert found.bits >= 128
    assert Handshake.from_json(json.loads(json.dumps(found.as_json()))) == found


def test_another_authority(
    tls_server: Server, certificates: Certificates, logged: Callable[[], str]
) -> None:
    """A wrong CA is a reason for distrust, and the only thing that the server's log hears of."""
    root = str(certificates.other_ca)
    found = handshake(parameters(tls_server, host="localhost", sslrootcert=root))
    assert (found.trusted, found.host_matches, found.roots) == (False, True, root)
    assert "self-signed certificate in certificate chain" in found.distrust.replace(
        "self signed", "self-signed"
    )
    deadline = time.monotonic() + 60
    while "could not accept SSL connection" not in logged():
        assert time.monotonic() < deadline
    assert [line.count("LOG:  could not accept") for line in logged().splitlines()] == [1]


def test_a_trusted_handshake_leaves_no_trace(
    tls_server: Server, certificates: Certificates, logged: Callable[[], str]
) -> None:
    """Nothing is logged of a client that leaves after the handshake."""
    assert handshake(parameters(tls_server, sslrootcert=str(certificates.ca))).trusted
    tls_server.sql("SELECT 1")
    assert logged() == ""


def test_where_the_authorities_come_from(
    tls_server: Server, certificates: Certificates, tmp_path: Path
) -> None:
    """By default libpq's file in the home folder; where there is none, the system's are tried."""
    where, environ = parameters(tls_server, host="localhost"), {"HOME": str(tmp_path)}
    environ["APPDATA"] = str(tmp_path)
    none = handshake(where, environ=environ)
    assert (none.roots, none.configured, none.trusted) == ("system", False, False)
    default = default_file("root.crt", environ)
    assert default is not None
    default.parent.mkdir()
    default.write_bytes(certificates.ca.read_bytes())
    found = handshake(where, environ=environ)
    assert (found.roots, found.configured, found.trusted) == (str(default), True, True)
    system = handshake({**where, "sslrootcert": "system"}, environ=environ)
    assert (system.roots, system.configured, system.trusted) == ("system", True, False)


def test_a_missing_root_file(tls_server: Server) -> None:
    """A file that is not there is the reason; the rest is known all the same."""
    found = handshake(parameters(tls_server, host="localhost", sslrootcert="/missing.crt"))
    assert (found.trusted, found.host_matches) == (False, True)
    assert found.distrust == f"/missing.crt: {os.strerror(2)}"


@pytest.mark.parametrize(("sslkey", "presented"), [("client", True), ("encrypted_client", False)])
def test_client_certificate(
    tls_server: Server, certificates: Certificates, sslkey: str, *, presented: bool
) -> None:
    """The client's own certificate is presented, and a key that does not open is the error."""
    pair: Pair = getattr(certificates, sslkey)
    own = {"sslcert": str(pair.certificate), "sslkey": str(pair.key)}
    found = handshake(parameters(tls_server, **own))
    assert (found.presented, "sslpassword" in found.error) == (presented, not presented)


def test_without_tls(server: Server) -> None:
    """Neither a server without TLS nor a Unix socket has it."""
    assert handshake(parameters(server)).offered is False
    assert handshake(parameters(server, host=str(server.directory))).offered is False


def test_nobody_answers() -> None:
    """A server that says nothing is waited for once."""
    began = time.monotonic()
    with answering(None) as where:
        found = handshake(where, seconds=0.2)
        assert time.monotonic() - began < 30
    assert (found.offered, found.error, found.trusted) == (None, "no answer in time", None)


@pytest.mark.matrix
@pytest.mark.parametrize(("version", "works"), [(16, False), (17, True), (18, True)])
def test_direct_negotiation(certificates: Certificates, version: int, *, works: bool) -> None:
    """From 17 on TLS may start at once, without a request for it."""
    with Server.running(bindir(version, tls=True)) as server:
        server.set_tls(certificates.server, certificates.ca)
        server.reload()
        where = parameters(server, host="localhost", sslnegotiation="direct")
        found = handshake({**where, "sslrootcert": str(certificates.ca)})
        assert (bool(found.verifies), found.alpn) == (works, "postgresql" if works else "")
