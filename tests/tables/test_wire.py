from __future__ import annotations

import io
import os
import socket
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgstrata.tables import ExportOptions, export_csv, export_csv_async, wire

if TYPE_CHECKING:
    from tests.servers import Server


def test_a_block_goes_on_after_ctrl_c(connection: psycopg.Connection[Any]) -> None:
    """What psycopg then does is to wait for the same generator once more, from its beginning."""
    connection.execute("CREATE TABLE t (v text)")
    pgconn = connection.pgconn
    connection.wait(wire.start(pgconn, b"COPY t FROM STDIN"))
    block = wire.write(pgconn, b"a\n")
    next(block)
    assert connection.wait(block) is False
    assert connection.wait(wire.finish(pgconn)) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="other sockets have no such mark")
@pytest.mark.parametrize(("value", "ends_well"), [("n", True), ("1 / (5000 - n)", False)])
def test_a_socket_is_as_it_was_after_a_read(
    connection: psycopg.Connection[Any], value: str, *, ends_well: bool
) -> None:
    """Reading waits for many bytes at once; an answer of few bytes must not be waited for so."""
    pgconn = connection.pgconn
    text = f"COPY (SELECT {value} FROM generate_series(1, 10000) n) TO STDOUT"
    connection.wait(wire.start(pgconn, text.encode()))
    with nullcontext() if ends_well else pytest.raises(psycopg.Error):
        while connection.wait(wire.read(pgconn, 1000))[2] < 0:
            pass
    with socket.socket(fileno=os.dup(pgconn.socket)) as same:
        assert same.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == 1


async def test_a_connection_with_tls_delivers_the_same(tls_server: Server) -> None:
    """Bytes that are there and deciphered do not wait for others to come."""
    text = "SELECT n, repeat(n::text, 20) FROM generate_series(1, 50000) n"
    ways = [tls_server.keywords(dbname="postgres", sslmode=mode) for mode in ("disable", "require")]
    options, came = ExportOptions(query=True), []
    for keywords in ways:
        with psycopg.connect(**keywords) as connection, io.BytesIO() as target:
            assert export_csv(connection, text, target, options).rows == 50000
            came.append(target.getvalue())
        async with await psycopg.AsyncConnection.connect(**keywords) as also:
            with io.BytesIO() as target:
                assert (await export_csv_async(also, text, target, options)).rows == 50000
                came.append(target.getvalue())
    assert len(set(came)) == 1
