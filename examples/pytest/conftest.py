"""What the tests of a project share: how an empty database gets its tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

SCHEMA = Path(__file__).parent.parent / "schema.sql"


@pytest.fixture(scope="session")
def pgstrata_prepare() -> Callable[[psycopg.Connection], object]:
    """Return what makes the tables; a project with migrations runs them here."""
    return lambda connection: connection.execute(SCHEMA.read_bytes())
