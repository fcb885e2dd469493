"""Passwords that a function of the program makes, as the tokens of a cloud are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from tests.connect.conftest import TYPES, select, settings
from tests.servers import Server

from pgstrata import PGConnectionManager, PgstrataError, Secret, SecretError
from pgstrata.connect.handles import AsyncHandle, AsyncPoolHandle, Handle
from pgstrata.loading import load_mapping

SIZES = {"min_size": 1, "max_size": 2, "timeout": 10}


class Tokens:
    """A service that makes tokens, of which a server takes only the last."""

    role = "token_role"

    def __init__(self, server: Server) -> None:
        self.server, self.made = server, 0
        server.sql(f"CREATE ROLE {self.role} LOGIN")

    def make(self) -> str:
        """Return a new token, which makes those before it void."""
        self.made += 1
        self.server.sql(f"ALTER ROLE {self.role} PASSWORD 'token-{self.made}'")
        return f"token-{self.made}"


@pytest.fixture
def tokens(server: Server) -> Iterator[Tokens]:
    """Return the tokens of a role."""
    made = Tokens(server)
    yield made
    server.sql(f"DROP ROLE {made.role}")


@pytest.fixture
def manager() -> Iterator[PGConnectionManager]:
    """Return a manager that is cleared in the end."""
    made = PGConnectionManager()
    yield made
    made.clear_cache()


def with_password(server: Server, password: Secret) -> dict[str, Any]:
    """Return a configuration as a program gives it."""
    given = settings(server, user=Tokens.role, password=password)
    return {"connection_settings": given, "pool_settings": SIZES, "async_pool_settings": SIZES}


async def two(handle: Handle) -> set[int]:
    """Return the server processes of two connections that are in use at once."""
    if isinstance(handle, AsyncHandle | AsyncPoolHandle):
        async with handle as one, handle as other:
            return {one.info.backend_pid, other.info.backend_pid}
    with handle as first, handle as second:
        return {first.info.backend_pid, second.info.backend_pid}


@pytest.mark.parametrize("kind", TYPES)
async def test_each_connection_asks_for_a_token(
    server: Server, tokens: Tokens, manager: PGConnectionManager, kind: str
) -> None:
    """A token that was good for the first connection is not used for the second, and the second
    does not end the first. Equal dictionaries are the same, though their tokens differ.
    """
    data = with_password(server, Secret(tokens.make))
    pids = [
        await two(manager.get_database_connection_from_dict(dict(data), kind)) for _ in range(2)
    ]
    assert tokens.made > len(pids[0]) == 2
    assert (pids[0] == pids[1]) == (kind in ("pool", "async_pool"))
    assert manager.cache_info["size"] == 1
    await manager.clear_cache_async()


def raising() -> str:
    """Fail as a service does that says too much."""
    raise RuntimeError("canary-of-the-service")


def returning() -> Any:
    """Return what is no text."""
    return b"canary-of-bytes"


class Service:
    """A function that is an object."""

    def __call__(self) -> str:
        """Return what PostgreSQL cannot take."""
        return "canary\0"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (raising, "connection_settings.password: function raising raised RuntimeError"),
        (returning, "connection_settings.password: function returning returned bytes, not str"),
        (Service(), "NUL character"),
    ],
)
@pytest.mark.parametrize("kind", ["normal", "async_pool"])
def test_a_function_that_fails(
    server: Server, manager: PGConnectionManager, function: Any, message: str, kind: str
) -> None:
    """Whatever it does, the error is one of ours, with the cause, and without the cause's words."""
    handle = manager.get_database_connection_from_dict(
        with_password(server, Secret(function)), kind
    )
    with pytest.raises(PgstrataError, match=message) as caught:
        asyncio.run(select(handle))
    assert "canary" not in str(caught.value)
    cause = caught.value.__cause__
    assert isinstance(cause, RuntimeError) == (function is raising)


def test_what_is_no_secret_is_asked_for_once() -> None:
    """A host that a function gives is part of the configuration, and its source can be named."""
    host, user = Secret(lambda: "db.example.com"), Secret(lambda: "me", source="the directory")
    config = load_mapping({"connection_settings": {"host": host, "user": user, "dbname": "d"}})
    assert config["connection_settings.host"] == "db.example.com"
    with pytest.raises(SecretError, match="host: function raising raised"):
        load_mapping({"connection_settings": {"host": Secret(raising), "dbname": "d"}})
