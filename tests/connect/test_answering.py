from __future__ import annotations

from contextlib import ExitStack
from time import monotonic
from typing import Any

import psycopg
import pytest
from tests.proxy import Proxy
from tests.servers import Server

from pgstrata.connect.answering import answering


@pytest.fixture
def connect(server: Server) -> Any:
    """Return what connects to the server, by another way if that is given."""
    with ExitStack() as stack:
        yield lambda **way: stack.enter_context(psycopg.connect(**server.keywords(**way)))


def test_only_servers_that_answer_are_told(server: Server, connect: Any) -> None:
    """Those that hang and those that are gone cost no more time than there is."""
    with Proxy((server.host, server.port)) as hanging, Proxy((server.host, server.port)) as gone:
        silent = [connect(port=hanging.port) for _ in range(3)]
        lost = connect(port=gone.port)
        healthy = [connect() for _ in range(2)]
        hanging.hang()
        gone.refuse()
        began = monotonic()
        found = list(answering([*silent, lost, *healthy], began + 0.5))
        assert monotonic() - began < 2
    assert sorted(map(id, found)) == sorted(map(id, healthy))


def test_a_server_by_its_socket_answers(server: Server, connect: Any) -> None:
    """As one by TCP does."""
    there = connect(host=str(server.directory))
    assert list(answering([there], monotonic() + 5)) == [there]


def test_a_closed_connection_is_passed_over(connect: Any) -> None:
    """Nobody knows any more where its server is."""
    closed = connect()
    closed.close()
    assert list(answering([closed], monotonic() + 5)) == []
