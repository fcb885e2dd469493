"""TLS: what each mode demands of which server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.certificates import KEY_PASSWORD, Certificates
from tests.connect.conftest import TYPES, Make, select, settings
from tests.servers import Server

from pgstrata import ConnectionFailedError, InvalidConfigError

MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
USED = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"

# Each mode with the right CA, with another one, and on a server without TLS: whether TLS is in use
# (libpq's documentation, table "SSL Mode Descriptions"), or why there is no connection. With a CA
# that exists, libpq verifies under require too, as the same page says.
OUTCOMES: dict[str, tuple[bool | str, bool | str, bool | str]] = {
    "disable": (False, False, False),
    "allow": (False, False, False),
    "prefer": (True, True, False),
    "require": (True, "certificate verify failed", "does not support SSL"),
    "verify-ca": (True, "certificate verify failed", "does not support SSL"),
    "verify-full": (True, "certificate verify failed", "does not support SSL"),
}


async def outcome(make: Make, given: dict[str, Any], kind: str = "normal") -> bool | str:
    """Return whether TLS is in use, or the error and its hint."""
    manager = make(given)
    try:
        return bool(await select(manager.get_database_connection(connection_type=kind), USED))
    except ConnectionFailedError as error:
        return f"{error} / {error.hint}"
    finally:
        await manager.clear_cache_async()


def matches(found: bool | str, expected: bool | str) -> bool:  # noqa: FBT001  # a table's cell
    """Compare an outcome with what was expected; of an error, a part."""
    if isinstance(expected, str):
        return isinstance(found, str) and expected in found
    return found is expected


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("ca", ["ca", "other_ca"])
async def test_modes_with_tls(
    make: Make, tls_server: Server, certificates: Certificates, mode: str, ca: str
) -> None:
    """A server with TLS: used where the mode prefers it, verified where it demands that."""
    root = str(getattr(certificates, ca))
    user = "plain_user"
    found = await outcome(
        make, settings(tls_server, user=user, sslmode=mode, sslrootcert=root, host="localhost")
    )
    expected = OUTCOMES[mode][0 if ca == "ca" else 1]
    if mode == "prefer" and ca == "other_ca":
        expected = False  # libpq falls back to a connection without
    assert matches(found, expected), found


@pytest.mark.parametrize("mode", MODES)
async def test_modes_without_tls(
    make: Make, server: Server, certificates: Certificates, mode: str
) -> None:
    """A server without TLS: refused where the mode demands it."""
    root = str(certificates.ca)
    found = await outcome(make, settings(server, sslmode=mode, sslrootcert=root))
    assert matches(found, OUTCOMES[mode][2]), found


@pytest.mark.parametrize("kind", TYPES)
async def test_every_type(
    make: Make, tls_server: Server, certificates: Certificates, kind: str
) -> None:
    """Each type connects with TLS, and says why it does not."""
    given = settings(tls_server, user="scram_user", sslmode="verify-full")
    right, wrong = str(certificates.ca), str(certificates.other_ca)
    assert await outcome(make, given | {"sslrootcert": right}, kind) is True
    found = await outcome(make, given | {"sslrootcert": wrong}, kind)
    assert matches(found, "sslrootcert is not the CA"), found


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("require", "no pg_hba.conf entry"), ("disable", "pg_hba.conf")],
)
async def test_server_that_demands_tls(
    make: Make, tls_server: Server, mode: str, expected: str
) -> None:
    """A role that must use TLS is refused without; the hint points to the server."""
    user = "scram_user" if mode == "disable" else "stranger"
    found = await outcome(make, settings(tls_server, user=user, sslmode=mode))
    assert matches(found, expected), found
    assert matches(found, "the server admits no such client"), found


@pytest.fixture
def serving(request: pytest.FixtureRequest, tls_server: Server) -> Iterator[Server]:
    """Return the server with another certificate, and give it back its own afterwards."""
    certificates: Certificates = request.getfixturevalue("certificates")
    tls_server.set_tls(getattr(certificates, request.param), certificates.ca)
    tls_server.reload()
    yield tls_server
    tls_server.set_tls(certificates.server, certificates.ca)
    tls_server.reload()


@pytest.mark.parametrize(
    ("serving", "mode", "expected"),
    [
        ("wrong_host", "verify-full", "host must be a name that is in the server's certificate"),
        ("wrong_host", "verify-ca", True),
        ("expired", "verify-full", "expired"),
        ("expired", "verify-ca", "certificate verify failed"),
    ],
    indirect=["serving"],
)
async def test_bad_certificate(
    make: Make,
    serving: Server,
    certificates: Certificates,
    mode: str,
    expected: bool | str,  # noqa: FBT001  # a table's cell
) -> None:
    """A certificate for another host, or of yesterday."""
    over = {"sslmode": mode, "sslrootcert": str(certificates.ca), "user": "scram_user"}
    found = await outcome(make, settings(serving, host="localhost", **over))
    assert matches(found, expected), found


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("encrypted", [False, True])
async def test_client_certificate(
    make: Make, tls_server: Server, certificates: Certificates, kind: str, encrypted: Any
) -> None:
    """A client logs in with a certificate; an encrypted key opens with ``sslpassword``."""
    pair = certificates.encrypted_client if encrypted else certificates.client
    files = {"sslcert": str(pair.certificate), "sslkey": str(pair.key)}
    over: dict[str, Any] = {
        "user": "cert_user",
        "password": None,
        "sslmode": "verify-full",
        **files,
    }
    given = settings(tls_server, sslrootcert=str(certificates.ca), **over)
    password = {"sslpassword": KEY_PASSWORD} if encrypted else {}
    assert await outcome(make, given | password, kind) is True
    if encrypted:
        assert isinstance(await outcome(make, given | {"sslpassword": "wrong"}, kind), str)


def test_missing_root_certificate(
    make: Make, tls_server: Server, tmp_path: Path, certificates: Certificates
) -> None:
    """Files that are missing or unsafe are found before anything is sent."""
    given = settings(tls_server, user="scram_user", sslmode="verify-full")
    with pytest.raises(InvalidConfigError, match="needs a root certificate"):
        make(given).normal()
    with pytest.raises(InvalidConfigError, match=r"nowhere\.crt does not exist"):
        make(given | {"sslrootcert": "nowhere.crt"}).pool()
    if os.name == "posix":
        key = tmp_path / "open.key"
        key.write_bytes(certificates.client.key.read_bytes())
        key.chmod(0o644)
        files = {"sslcert": str(certificates.client.certificate), "sslkey": str(key)}
        with pytest.raises(InvalidConfigError, match="may be read by others"):
            make(given | files | {"sslrootcert": str(certificates.ca)}).async_()


async def test_relative_root_certificate(
    make: Make, tls_server: Server, certificates: Certificates
) -> None:
    """A relative path starts at the project folder, wherever the program runs."""
    manager = make(
        settings(tls_server, user="scram_user", sslmode="verify-full", sslrootcert="root.crt")
    )
    (manager.config.project / "root.crt").write_bytes(certificates.ca.read_bytes())
    assert await select(manager.normal(), USED) is True
