from __future__ import annotations

from typing import Any

import pytest
from tests.recommend.conftest import Recommended


def connection(**over: Any) -> dict[str, Any]:
    """Return a named connection that differs in these keywords."""
    return {"connection_settings": over}


@pytest.mark.parametrize(
    ("over", "other", "together"),
    [
        ({"host": "a"}, {"dbname": "b"}, True),
        ({"host": "a"}, {"host": "A"}, True),
        ({"host": "a"}, {"host": "b"}, False),
        ({"host": "a"}, {"port": 5433}, False),
        ({"host": "a,b"}, {"host": "b"}, True),
        ({"host": "localhost"}, {"host": "127.0.0.1"}, True),
        ({"host": "localhost"}, {"host": "/run/postgresql"}, True),
        ({"host": "localhost"}, {"host": "/run/postgresql", "port": 5433}, False),
    ],
)
def test_connections_with_a_common_endpoint_have_one_server(
    recommended: Recommended, over: dict[str, Any], other: dict[str, Any], *, together: bool
) -> None:
    """The hosts of one connection are one replicated server; so is what shares one of them."""
    found = recommended(over, connections={"other": connection(**other)})
    names = [server.connections for server in found.servers]
    assert names == ([("default", "other")] if together else [("default",), ("other",)])


def test_a_connection_can_join_two_servers(recommended: Recommended) -> None:
    """That comes last and shares an endpoint with each."""
    more = {"b": connection(host="b"), "c": connection(host="a,b")}
    (server,) = recommended({"host": "a"}, connections=more).servers
    assert server.connections == ("default", "b", "c")
    assert server.name == "a:5432, b:5432"


def test_names_are_as_they_are_written(recommended: Recommended) -> None:
    """Paths keep their case, IPv6 addresses get brackets."""
    more = {"s": connection(host="/tmp/Sockets")}
    found = recommended({"host": "2001:db8::1"}, connections=more)
    assert [s.name for s in found.servers] == ["[2001:db8::1]:5432", "/tmp/Sockets:5432"]


def test_the_embedded_server_is_none(recommended: Recommended) -> None:
    """It is set up by pgstrata itself."""
    assert recommended(local=True).servers == ()


def test_the_server_of_a_pooler_alone_is_not_known(recommended: Recommended) -> None:
    """Nothing is recommended, and nothing asked for."""
    (server,) = recommended(pooler="transaction").servers
    assert (server.advice, server.missing) == ((), ())
    assert "goes through a pooler (transaction)" in server.notes[0].message
