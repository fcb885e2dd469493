"""Servers whose pg_hba.conf tests rewrite as they like."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.audit.hba.generated import Ground, ground
from tests.certificates import Certificates
from tests.conftest import find_tls
from tests.servers import embedded_bindir


@pytest.fixture(scope="session")
def plain(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[Ground]:
    """Return an embedded server, which has regular expressions and no TLS."""
    with ground(
        embedded_bindir(request.config.getoption("--pg")), certificates, tls=False
    ) as found:
        yield found


@pytest.fixture(scope="session")
def tls(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[Ground]:
    """Return a server with TLS; skip where no such server is installed."""
    bindir = find_tls()
    if isinstance(bindir, str):
        missing = pytest.fail if request.config.getoption("--require-tls") else pytest.skip
        missing(f"no server with TLS: {bindir}")
    with ground(bindir, certificates, tls=True) as found:
        yield found
