from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pgstrata.tables.catalog import get_table
from pgstrata.tables.errors import InputError
from pgstrata.tables.steps import run

if TYPE_CHECKING:
    import psycopg


@pytest.mark.parametrize("name", ["", ".", "a.b.c", "a.b.c.d", '"a', "a b", "'; DROP TABLE t; --"])
def test_what_is_no_name(connection: psycopg.Connection[Any], name: str) -> None:
    """It is wrong input, and no failure of the server; on any version of it."""
    with pytest.raises(InputError):
        run(get_table(connection, name))


def test_a_missing_table_is_missing_somewhere(connection: psycopg.Connection[Any]) -> None:
    """Which the message says."""
    place = f"in the target database {connection.info.dbname}"
    with pytest.raises(InputError, match=place):
        run(get_table(connection, "t", end="target database"))
