from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgstrata.tables import wire

if TYPE_CHECKING:
    import psycopg


def test_a_block_goes_on_after_ctrl_c(connection: psycopg.Connection[Any]) -> None:
    """What psycopg then does is to wait for the same generator once more, from its beginning."""
    connection.execute("CREATE TABLE t (v text)")
    pgconn = connection.pgconn
    connection.wait(wire.start(pgconn, b"COPY t FROM STDIN"))
    block = wire.write(pgconn, b"a\n")
    next(block)
    assert connection.wait(block) is False
    assert connection.wait(wire.finish(pgconn)) == 1
