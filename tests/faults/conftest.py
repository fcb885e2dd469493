"""The server that faults are played on, and where."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import find_tls
from tests.faults.stage import CONF, Stage
from tests.servers import Server, embedded_bindir


@pytest.fixture(scope="session")
def faulty(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Return a server of these tests alone: with TLS, where one is installed."""
    installed = find_tls()
    bindir = embedded_bindir(request.config.getoption("--pg"))
    with Server.running(bindir if isinstance(installed, str) else installed, conf=CONF) as server:
        yield server


@pytest.fixture
def stage(faulty: Server, tmp_path: Path, kind: str) -> Stage:
    """Return a stage for the kind of pool that the test names."""
    return Stage(kind, faulty, tmp_path)
