from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.audit.program import (
    APP,
    DB,
    HBA,
    Well,
    of,
    reload,
    run_sql,
    settings,
    with_hba,
)
from tests.certificates import Authority, Certificates, Pair
from tests.pooler import pgbouncer
from tests.servers import PASSWORD, Server

from pgstrata.audit.model import Result

# libpq takes the name for what it is told, and the address for where to go.
ELSEWHERE = {"host": "db.example.test", "hostaddr": "127.0.0.1"}
VERIFIED = {"host": "localhost", "sslmode": "verify-full"}


def verified(certificates: Certificates, **over: Any) -> dict[str, Any]:
    """Return connection_settings of a client that verifies the server."""
    return {**VERIFIED, "sslrootcert": str(certificates.ca), **over}


def look(server: Server, folder: Path, check: str, **connection: Any) -> list[Result]:
    """Return what a check says of a client with these connection_settings."""
    return list(of(folder, settings(server, **connection), check))


def worst(results: list[Result]) -> str:
    """Return the worst status."""
    order = ("ok", "info", "unknown", "warn", "fail")
    return max((result.status for result in results), key=order.index, default="")


@contextmanager
def using(server: Server, pair: Pair, lasting: Certificates) -> Iterator[None]:
    """Let a server use another certificate for a while."""
    conf = (server.data / "postgresql.conf").read_text()
    server.set_tls(pair, lasting.ca)
    reload(server)
    try:
        yield
    finally:
        server.set_tls(lasting.server, lasting.ca)
        (server.data / "postgresql.conf").write_text(conf)
        reload(server)


def test_tls_that_is_not_offered(well: Well, tmp_path: Path) -> None:
    """A client that demands it cannot even log in, and the reason is found all the same."""
    for mode, status in (("require", "fail"), ("prefer", "warn"), ("disable", "")):
        said = look(well.server, tmp_path, "tls.offered", **ELSEWHERE, sslmode=mode)
        assert worst(said) == status
    assert not look(well.server, tmp_path, "tls.offered", sslmode="prefer")


def test_a_session_in_clear_text(well: Well, well_tls: Server, tmp_path: Path) -> None:
    """To another machine it is a warning, unless it is what the client says."""
    there = look(well.server, tmp_path, "tls.negotiated", **ELSEWHERE, sslmode="prefer")
    assert worst(there) == "warn"
    there = look(well.server, tmp_path, "tls.negotiated", **ELSEWHERE, sslmode="disable")
    assert worst(there) == "info"
    there = look(well_tls, tmp_path, "tls.negotiated", **ELSEWHERE, sslmode="prefer")
    assert worst(there) == "ok"


def test_a_server_that_accepts_clear_text(well_tls: Server, tmp_path: Path) -> None:
    """Hostssl in place of host is the fix."""
    files = settings(well_tls, sslmode="require")
    (said,) = of(tmp_path, files, "tls.plain_accepted")
    (strict,) = of(tmp_path, files | {"protected": True}, "tls.plain_accepted")
    assert (said.status, strict.status) == ("warn", "fail")
    with_hba(well_tls, [line.replace("host ", "hostssl ") for line in HBA])
    (said,) = of(tmp_path, files, "tls.plain_accepted")
    with_hba(well_tls, HBA)
    assert said.status == "ok"


def test_a_client_that_only_prefers_tls(well_tls: Server, tmp_path: Path) -> None:
    """Libpq's own default is one of the two."""
    for mode, status in (
        (None, "warn"),
        ("allow", "warn"),
        ("disable", "warn"),
        ("require", "ok"),
    ):
        said = look(well_tls, tmp_path, "tls.prefer", **ELSEWHERE, sslmode=mode)
        assert worst(said) == status


def test_old_versions_of_tls(well_tls: Server, tmp_path: Path) -> None:
    """The server's own minimum, until the fix is applied."""
    run_sql(well_tls, ("ALTER SYSTEM SET ssl_min_protocol_version = 'TLSv1'",))
    (said,) = look(well_tls, tmp_path, "tls.min_protocol", sslmode="require")
    assert said.status == "warn"
    run_sql(well_tls, tuple(said.outcome.fix[0].statement.split(";")[:1]))
    (said,) = look(well_tls, tmp_path, "tls.min_protocol", sslmode="require")
    run_sql(well_tls, ("ALTER SYSTEM RESET ALL",))
    assert said.status == "ok"


def test_no_common_version_of_tls(well_tls: Server, tmp_path: Path) -> None:
    """A handshake shows it, where nobody can log in."""
    run_sql(well_tls, ("ALTER SYSTEM SET ssl_max_protocol_version = 'TLSv1.2'",))
    newest = {"sslmode": "require", "ssl_min_protocol_version": "TLSv1.3"}
    said = look(well_tls, tmp_path, "tls.min_protocol", **newest)
    run_sql(well_tls, ("ALTER SYSTEM RESET ALL",))
    assert worst(said) == "fail"
    assert worst(look(well_tls, tmp_path, "tls.min_protocol", **newest)) == "ok"


def test_a_certificate_that_was_not_seen(well_tls: Server, tmp_path: Path) -> None:
    """Nothing is said of its last day, which is not that all is well."""
    run_sql(well_tls, ("ALTER SYSTEM SET ssl_max_protocol_version = 'TLSv1.2'",))
    newest = {"sslmode": "prefer", "ssl_min_protocol_version": "TLSv1.3"}
    (said,) = look(well_tls, tmp_path, "tls.expiry", **ELSEWHERE, **newest)
    run_sql(well_tls, ("ALTER SYSTEM RESET ALL",))
    assert (said.status, "was not seen" in said.outcome.message) == ("unknown", True)


def test_a_client_that_has_nothing_to_verify_with(
    well_tls: Server, lasting: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Libpq does not connect, although the machine itself would trust the server."""
    monkeypatch.setenv("HOME", str(tmp_path / "empty"))
    (said,) = look(well_tls, tmp_path, "tls.chain", **VERIFIED)
    assert (said.status, "there is no sslrootcert" in said.outcome.message) == ("fail", True)
    assert "sslrootcert: …" in said.outcome.fix[0].statement
    monkeypatch.setenv("SSL_CERT_FILE", str(lasting.ca))
    (said,) = look(well_tls, tmp_path, "tls.chain", **VERIFIED)
    assert (said.status, "sslrootcert: system" in said.outcome.fix[0].statement) == ("fail", True)
    (told,) = look(well_tls, tmp_path, "tls.chain", sslmode="require")
    assert told.status == "ok"


def test_the_machines_own_authorities_are_for_verify_full(
    well_tls: Server, lasting: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is libpq's default then, not prefer."""
    monkeypatch.setenv("SSL_CERT_FILE", str(lasting.ca))
    own = {"host": "localhost", "sslrootcert": "system", "sslmode": None}
    assert worst(look(well_tls, tmp_path, "tls.chain", **own)) == "ok"
    (said,) = look(well_tls, tmp_path, "tls.plain_accepted", **own)
    assert said.status == "warn"
    monkeypatch.setenv("SSL_CERT_FILE", str(lasting.other_ca))
    assert worst(look(well_tls, tmp_path, "tls.chain", **own)) == "fail"


def test_require_with_a_file_of_authorities_verifies(
    well_tls: Server, lasting: Certificates, tmp_path: Path
) -> None:
    """It is verify-ca then, and the wrong file ends the connection."""
    wrong = {"sslmode": "require", "sslrootcert": str(lasting.other_ca)}
    assert worst(look(well_tls, tmp_path, "tls.chain", **wrong)) == "fail"


def test_a_certificate_of_somebody_else(
    well_tls: Server, lasting: Certificates, tmp_path: Path
) -> None:
    """The client cannot log in; who does not verify is only told."""
    wrong = {"sslrootcert": str(lasting.other_ca)}
    (said,) = look(well_tls, tmp_path, "tls.chain", **VERIFIED, **wrong)
    assert said.status == "fail"
    assert "certificate" in said.outcome.observed
    (told,) = look(well_tls, tmp_path, "tls.chain", **ELSEWHERE, sslmode="prefer", **wrong)
    assert told.status == "info"
    assert worst(look(well_tls, tmp_path, "tls.chain", **verified(lasting))) == "ok"


def test_a_certificate_for_another_host(
    well_tls: Server, lasting: Certificates, tmp_path: Path
) -> None:
    """The names that it is for are said."""
    with using(well_tls, lasting.wrong_host, lasting):
        (said,) = look(well_tls, tmp_path, "tls.hostname", **verified(lasting))
        less = verified(lasting, sslmode="verify-ca")
        (told,) = look(well_tls, tmp_path, "tls.hostname", **less)
    assert (said.status, said.outcome.observed) == ("fail", "db.invalid")
    assert told.status == "info"
    assert worst(look(well_tls, tmp_path, "tls.hostname", **verified(lasting))) == "ok"


def test_a_certificate_that_expires(
    well_tls: Server, certificates: Certificates, lasting: Certificates, tmp_path: Path
) -> None:
    """That of the server, and those that the client brings along, long before."""
    client = {"sslcert": str(certificates.client.certificate), "sslkey": str(lasting.client.key)}
    said = look(well_tls, tmp_path, "tls.expiry", sslmode="verify-full", **client)
    assert {r.outcome.key for r in said if r.status == "fail"} == {"connection_settings.sslcert"}
    with using(well_tls, lasting.expired, lasting):
        said = look(well_tls, tmp_path, "tls.expiry", **verified(lasting))
    expired = [result for result in said if result.status == "fail"]
    assert [result.outcome.key for result in expired] == ["connection_settings.host"]
    assert " expired: " in expired[0].outcome.message
    assert worst(look(well_tls, tmp_path, "tls.expiry", **verified(lasting))) == "ok"


def test_a_key_that_others_may_read(
    well_tls: Server, lasting: Certificates, tmp_path: Path
) -> None:
    """Libpq refuses it; chmod is the fix."""
    key = tmp_path / "client.key"
    key.write_bytes(lasting.client.key.read_bytes())
    files = {"sslcert": str(lasting.client.certificate), "sslkey": str(key), "sslmode": "require"}
    key.chmod(0o644)
    (said,) = look(well_tls, tmp_path / "project", "tls.key_perm", **files)
    assert (said.status, said.outcome.fix[0].statement) == ("fail", f"chmod 600 {key}")
    key.chmod(0o600)
    assert worst(look(well_tls, tmp_path / "project", "tls.key_perm", **files)) == "ok"


@pytest.mark.parametrize(
    ("mode", "uid", "status"),
    [
        ("0600", 1000, "ok"),
        ("0640", 0, "ok"),
        ("0640", 1000, "fail"),
        ("0660", 0, "fail"),
        ("0604", 0, "fail"),
    ],
)
def test_the_group_may_read_a_key_of_root(
    well: Well, tmp_path: Path, mode: str, uid: int, status: str
) -> None:
    """And nobody else's."""
    row = {"path": "client.key", "mode": mode, "uid": uid}
    snapshot = replace(well.view.snapshot, facts={**well.view.snapshot.facts, "client_key": (row,)})
    (said,) = of(tmp_path, settings(well.server), "tls.key_perm", snapshot)
    assert said.status == status


def test_a_root_certificate_in_the_home_folder(
    well_tls: Server, lasting: Certificates, tmp_path: Path
) -> None:
    """It makes more of require on this machine than on another."""
    assert worst(look(well_tls, tmp_path, "tls.root_implicit", sslmode="require")) == "ok"
    root = Path.home() / ".postgresql" / "root.crt"
    root.parent.mkdir(exist_ok=True)
    root.write_bytes(lasting.ca.read_bytes())
    try:
        said = look(well_tls, tmp_path, "tls.root_implicit", sslmode="require")
    finally:
        root.unlink()
    assert worst(said) == "info"


def test_channel_binding_that_nobody_asks_for(well_tls: Server, tmp_path: Path) -> None:
    """And one that is asked for where the server has none."""
    tls = {"sslmode": "require"}
    assert worst(look(well_tls, tmp_path, "tls.channel_binding", **tls)) == "info"
    bound = {**tls, "channel_binding": "require"}
    assert worst(look(well_tls, tmp_path, "tls.channel_binding", **bound)) == "ok"
    with_hba(well_tls, (f"host {DB} {APP} 127.0.0.1/32 password", HBA[1]))
    said = look(well_tls, tmp_path, "tls.channel_binding", **bound)
    with_hba(well_tls, HBA)
    assert worst(said) == "fail"


def test_a_certificate_that_the_server_demands(
    well_tls: Server, lasting: Certificates, tmp_path: Path
) -> None:
    """None, one for another role, and the right one."""
    well_tls.sql(f"CREATE ROLE cert_user LOGIN PASSWORD '{PASSWORD}'")
    roles = "app,cert_user"
    with_hba(well_tls, (f"hostssl {DB} {roles} 127.0.0.1/32 cert", HBA[1]))
    own = {
        "sslmode": "require",
        "sslcert": str(lasting.client.certificate),
        "sslkey": str(lasting.client.key),
    }
    try:
        (none,) = look(well_tls, tmp_path, "tls.mtls", sslmode="require")
        (other,) = look(well_tls, tmp_path, "tls.mtls", **own)
        (right,) = look(well_tls, tmp_path, "tls.mtls", **own, user="cert_user")
        run_sql(well_tls, ("ALTER SYSTEM SET ssl_ca_file = ''",))
        (unverified,) = look(well_tls, tmp_path, "auth.ssl_ca", sslmode="require")
        run_sql(well_tls, ("ALTER SYSTEM RESET ALL",))
        (verified,) = look(well_tls, tmp_path, "auth.ssl_ca", sslmode="require")
    finally:
        with_hba(well_tls, HBA)
        well_tls.sql("DROP ROLE cert_user")
    assert (none.status, "has none" in none.outcome.message) == ("fail", True)
    assert (other.status, "for role app" in other.outcome.message) == ("fail", True)
    assert right.status == "ok"
    assert (unverified.status, verified.status) == ("fail", "ok")


@pytest.mark.parametrize(
    ("certificate", "fix"), [(False, "sslcert: …, sslkey: …"), (True, "a line of pg_ident.conf")]
)
def test_no_other_line_helps_where_a_certificate_is_missing(
    well_tls: Server,
    lasting: Certificates,
    tmp_path: Path,
    certificate: bool,  # noqa: FBT001 # a table's cell
    fix: str,
) -> None:
    """What the line wants is the fix, not one more line."""
    own = {"sslcert": str(lasting.client.certificate), "sslkey": str(lasting.client.key)}
    with_hba(well_tls, (f"hostssl {DB} {APP} 127.0.0.1/32 cert", HBA[1]))
    try:
        (said,) = look(
            well_tls, tmp_path, "auth.rule", sslmode="require", **(own if certificate else {})
        )
    finally:
        with_hba(well_tls, HBA)
    assert said.status == "fail"
    assert fix in said.outcome.fix[0].statement


def test_a_certificate_that_the_server_does_not_trust(
    well_tls: Server, lasting: Certificates, tmp_path: Path
) -> None:
    """The server says so in TLS already."""
    pair = Authority("a stranger").issue(tmp_path / "stranger", APP)
    own = {"sslcert": str(pair.certificate), "sslkey": str(pair.key), "sslmode": "require"}
    (said,) = look(well_tls, tmp_path, "tls.mtls", **own)
    assert (said.status, "unknown ca" in said.outcome.message) == ("fail", True)


@pytest.mark.parametrize("certificate", [False, True])
def test_a_refusal_for_want_of_a_line_is_no_word_on_certificates(
    well_tls: Server,
    lasting: Certificates,
    tmp_path: Path,
    certificate: bool,  # noqa: FBT001 # a table's cell
) -> None:
    """Whether the client has one or not."""
    own = {"sslcert": str(lasting.client.certificate), "sslkey": str(lasting.client.key)}
    with_hba(well_tls, (HBA[1],))
    try:
        (said,) = look(
            well_tls, tmp_path, "tls.mtls", sslmode="require", **(own if certificate else {})
        )
    finally:
        with_hba(well_tls, HBA)
    assert (said.status, "no pg_hba.conf entry" in said.outcome.message) == ("unknown", True)


def test_tls_that_ends_at_a_pooler(well_tls: Server, lasting: Certificates, tmp_path: Path) -> None:
    """Its second half is in clear text, until the pooler too asks for TLS."""
    pair = lasting.server
    tls = (
        "client_tls_sslmode = require\n"
        f"client_tls_cert_file = {{folder}}/{pair.certificate.name}\n"
        f"client_tls_key_file = {{folder}}/{pair.key.name}\n"
    )
    users = {APP: PASSWORD, "postgres": PASSWORD}
    for inside, status in (("disable", "warn"), ("require", "ok")):
        conf = f"{tls}server_tls_sslmode = {inside}\n"
        with pgbouncer(
            well_tls, "session", users, conf=conf, files=(pair.certificate, pair.key)
        ) as port:
            said = look(well_tls, tmp_path, "tls.midpoint", port=port, sslmode="require")
        assert worst(said) == status
