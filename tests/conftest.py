"""The servers, databases and certificates that tests share."""

from __future__ import annotations

import os
import shutil
import signal
import uuid
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, NoReturn

import psycopg
import pytest
from tests import versions
from tests.certificates import Certificates, make_certificates
from tests.servers import (
    DEFAULT_HBA,
    PASSWORD,
    Server,
    ServerError,
    has_tls,
    system_bindir,
)

from pgstrata.errors import LocalServerError
from pgstrata.local import installation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

TLS_ROLES = ("cert_user", "scram_user", "plain_user")  # all with the password of tests.servers
TLS_HBA = (
    "hostssl all cert_user 127.0.0.1/32 cert",
    "hostssl all scram_user 127.0.0.1/32 scram-sha-256",
    "host all plain_user 127.0.0.1/32 scram-sha-256",
    "host all postgres 127.0.0.1/32 scram-sha-256",
)
AMBIENT = ("PG", "PGSTRATA_")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the embedded server's version be chosen, and what is missing be a failure."""
    parser.addoption(
        "--pg", type=int, default=18, help="major version of the PostgreSQL without TLS"
    )
    parser.addoption(
        "--require-tls", action="store_true", help="fail where a server with TLS is missing"
    )
    parser.addoption(
        "--require-keyring", action="store_true", help="fail where a keyring for tests is missing"
    )


def pytest_configure() -> None:
    """Let Ctrl-C work again where a shell has started the tests in the background, without it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header(config: pytest.Config) -> str:
    """Say which servers and which libpq the tests run with."""
    tls = find_tls()
    return (
        f"postgresql: {config.getoption('--pg')}, "
        f"with TLS {tls if isinstance(tls, str) else installation.full_version(tls)}, "
        f"libpq {psycopg.pq.version() / 10000:g}"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need TLS, so that ``-m "not tls"`` leaves them out."""
    for item in items:
        if {"tls_server", "tls"} & {*getattr(item, "fixturenames", ())}:
            item.add_marker(pytest.mark.tls)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, by name, a test whose keyring lacks a program or module; or fail it, if asked to."""
    for marker in item.iter_markers("keyring"):
        absent = [name for name in marker.args if not (shutil.which(name) or find_spec(name))]
        if absent:
            required = item.config.getoption("--require-keyring")
            (pytest.fail if required else pytest.skip)(f"not installed: {', '.join(absent)}")


@pytest.fixture(scope="session", autouse=True)
def _no_ambient_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hide the developer's own PG* and PGSTRATA_* variables, .pgpass and certificates, and CI."""
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("CI", raising=False)
        for name in os.environ:
            if name.startswith(AMBIENT):
                environment.delenv(name)
        environment.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Return certificates good, bad and expired."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Return an embedded server without TLS; leave it running and its settings as they are."""
    with started(lambda: versions.bindir(request.config.getoption("--pg"))) as running:
        yield running


@pytest.fixture(scope="session")
def tls_server(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[Server]:
    """Return a server with TLS and the TLS_ROLES; skip where no such server is installed."""
    bindir = find_tls()
    if isinstance(bindir, str):
        missing = pytest.fail if request.config.getoption("--require-tls") else pytest.skip
        missing(f"no server with TLS: {bindir}")
    with started(lambda: bindir, hba=TLS_HBA) as running:
        running.set_tls(certificates.server, certificates.ca)
        running.reload()
        for role in TLS_ROLES:
            running.sql(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
        yield running


@pytest.fixture
def database(server: Server) -> Iterator[str]:
    """Return the name of an empty database on ``server`` that only this test uses."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    server.sql(f"CREATE DATABASE {name}")
    yield name
    server.sql(f"DROP DATABASE {name} WITH (FORCE)")


def find_tls() -> Path | str:
    """Return the programs of a server with TLS, or why there are none."""
    bindir = system_bindir()
    if bindir is None:
        return "no PostgreSQL is installed on this machine"
    return bindir if has_tls(bindir) else f"PostgreSQL in {bindir} was built without it"


@contextmanager
def started(bindir: Callable[[], Path], hba: Sequence[str] = DEFAULT_HBA) -> Iterator[Server]:
    """Run a server; end the tests with one message, not hundreds, where none can be had."""
    with ExitStack() as stack:
        try:
            running = stack.enter_context(Server.running(bindir(), hba=hba))
        except (LocalServerError, ServerError) as error:
            pytest.exit(f"no PostgreSQL server for the tests: {error}", returncode=3)
        yield running


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this process one of a container whose user is only a number: no HOME, no account."""
    if os.name != "posix":
        pytest.skip("every account of Windows has a home")
    import pwd

    def unknown(uid: int) -> NoReturn:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
