"""A configuration file in pgmonkey's format, of an empty database with a table ``t (n int)``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.servers import Server


@pytest.fixture
def file(tmp_path: Path, server: Server, database: str) -> Path:
    """Return the path of the file."""
    server.sql("CREATE TABLE t (n int)", database)
    sizes = {"min_size": 1, "max_size": 4, "timeout": 10}
    settings = {"port": str(server.port), "keepalives": "1", "sslcert": "", "connect_timeout": "10"}
    given = {**server.keywords(dbname=database), **settings}
    path = tmp_path / "config.yaml"
    sections = {
        "connection_type": "normal",
        "connection_settings": given,
        "pool_settings": sizes,
        "async_pool_settings": sizes,
        "async_settings": {"statement_timeout": "30000"},
    }
    path.write_text(json.dumps(sections), encoding="utf-8")
    return path
