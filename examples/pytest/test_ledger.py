"""Tests that each have a database, or a schema, of their own."""

from __future__ import annotations

import uuid

import psycopg
import pytest

from pgstrata import PGConnectionManager

ADD = "INSERT INTO ledger VALUES (%s, %s)"


def test_an_entry_is_there(pgstrata_schema: PGConnectionManager) -> None:
    """What one block commits, another sees."""
    entry = uuid.uuid4()
    with pgstrata_schema.pool() as connection:
        connection.execute(ADD, (entry, 5))
    with pgstrata_schema.pool() as connection:
        assert connection.execute("SELECT id, amount FROM ledger").fetchall() == [(entry, 5)]


@pytest.mark.parametrize("amount", [1, 2])
def test_tests_do_not_meet(pgstrata_database: PGConnectionManager, amount: int) -> None:
    """The same key in each of them, because each has a database of its own."""
    with pgstrata_database.normal() as connection:
        connection.execute(ADD, (uuid.UUID(int=1), amount))


def test_an_entry_is_unique(pgstrata_schema: PGConnectionManager) -> None:
    """The second of the same id is refused."""
    with pytest.raises(psycopg.errors.UniqueViolation), pgstrata_schema.normal() as connection:
        connection.cursor().executemany(ADD, [(uuid.UUID(int=1), 1)] * 2)
