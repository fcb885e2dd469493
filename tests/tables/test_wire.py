from __future__ import annotations

import os
import socket
import sys
from contextlib import nullcontext
from typing import Any

import psycopg
import pytest

from pgstrata.tables import wire


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
