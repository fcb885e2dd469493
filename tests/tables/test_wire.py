from __future__ import annotations

import io
import os
import select
import socket
import sys
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from tests.proxy import Proxy

from pgstrata.tables import ExportOptions, export_csv, export_csv_async, wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import Server

TALKS = """
CREATE TABLE t (n int);
CREATE FUNCTION talk() RETURNS trigger LANGUAGE plpgsql AS
  $$BEGIN IF new.n = 1 THEN RAISE INFO '%', repeat('x', 300000); END IF; RETURN new; END$$;
CREATE TRIGGER talk BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION talk()
"""
ROWS = b"0\n" * 1000


@pytest.fixture
def far(server: Server, database: str) -> Iterator[psycopg.Connection[Any]]:
    """Return a connection over a slow link, which is in a COPY into a table whose trigger talks."""
    with Proxy((server.host, server.port)) as link:
        way = server.keywords(dbname=database, host=link.host, port=link.port)
        with closing(psycopg.connect(**way)) as connection:
            connection.execute(TALKS)
            connection.wait(wire.start(connection.pgconn, b"COPY t FROM STDIN"))
            link.delay = 0.05
            yield connection


def spoken_to(connection: psycopg.Connection[Any], row: bytes, *, to_end: bool) -> bool:
    """Send a row and, when an answer begins to come, others; return what writing them does."""
    pgconn = connection.pgconn
    assert connection.wait(wire.write(pgconn, row + ROWS), 0.01) is False
    select.select([pgconn.socket], [], [], 10)
    return connection.wait(wire.write(pgconn, ROWS, to_end=to_end), 0.01)


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


@pytest.mark.parametrize("to_end", [False, True])
def test_a_notice_that_comes_in_parts_is_no_error(
    far: psycopg.Connection[Any], *, to_end: bool
) -> None:
    """Also where its parts are far from each other; and it reaches who wants to hear it."""
    heard: list[str | None] = []
    far.add_notice_handler(lambda said: heard.append(said.message_primary))
    assert spoken_to(far, b"1\n", to_end=to_end) is False
    assert far.wait(wire.finish(far.pgconn)) == 2001
    assert [len(text or "") for text in heard] == [300_000]


@pytest.mark.parametrize("to_end", [False, True])
def test_an_error_is_one_when_nothing_more_comes(
    far: psycopg.Connection[Any], *, to_end: bool
) -> None:
    """Who sends the rest in any case does not wait; and the next COPY knows nothing of it."""
    pgconn = far.pgconn
    assert spoken_to(far, b"x\n", to_end=to_end) is not to_end
    with pytest.raises(psycopg.DataError):
        far.wait(wire.finish(pgconn))
    far.rollback()
    far.execute(TALKS)
    far.wait(wire.start(pgconn, b"COPY t FROM STDIN"))
    assert [far.wait(wire.write(pgconn, ROWS), 0.01) for _ in range(5)] == [False] * 5
    assert far.wait(wire.finish(pgconn)) == 5000
