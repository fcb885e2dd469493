"""No secret is seen from outside, whatever fails."""

from __future__ import annotations

import asyncio
import logging
import pickle
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from tests.certificates import Certificates
from tests.connect.conftest import TYPES, Make, select, settings
from tests.servers import PASSWORD, Server

from pgstrata import ConnectionFailedError, PGConnectionManager, PgstrataError
from pgstrata.connect.handles import AsyncPoolHandle, PoolHandle

CANARY = "canary-7f3a91-password"


def shown(thing: Any, depth: int = 6) -> Iterator[str]:
    """Yield what a curious reporter shows of a thing: repr, str, and its attributes, in depth."""
    yield repr(thing)
    yield str(thing)
    if depth:
        slots = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
        parts = [getattr(thing, name, None) for name in slots if not callable(name)]
        parts += list(getattr(thing, "__dict__", {}).values())
        parts += list(thing.values()) if isinstance(thing, dict) else []
        parts += list(thing) if isinstance(thing, list | tuple | set) else []
        for part in parts:
            if not callable(part):
                yield from shown(part, depth - 1)


def told(error: BaseException) -> Iterator[str]:
    """Yield all that an error and those behind it tell, with the locals of every frame."""
    formatted = traceback.TracebackException.from_exception(error, capture_locals=True)
    yield "".join(formatted.format())
    seen: BaseException | None = error
    while seen is not None:
        yield repr(seen)
        yield repr(seen.args)
        yield repr(vars(seen))
        connection = getattr(seen, "pgconn", None)
        yield repr(connection.info) if connection is not None else ""
        seen = seen.__cause__ or seen.__context__


FAILURES: dict[str, dict[str, Any]] = {
    "wrong password": {},
    "wrong database": {"dbname": "nowhere"},
    "refused port": {"port": 1},
    "unresolvable host": {"host": "no.such.host.invalid"},
    "TLS required": {"sslmode": "require"},
    "two hosts": {"host": "127.0.0.1,127.0.0.1", "port": "1,2"},
}


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("over", FAILURES.values(), ids=FAILURES)
async def test_failures(
    make: Make,
    server: Server,
    kind: str,
    over: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither the error, nor anything behind it, nor any log tells the password."""
    caplog.set_level(logging.DEBUG)
    manager = make(settings(server, **{"password": CANARY, **over}))
    handle = manager.get_database_connection(connection_type=kind)
    with pytest.raises(ConnectionFailedError) as caught:
        await select(handle)
    for text in (*told(caught.value), *shown(manager), *shown(handle), caplog.text):
        assert CANARY not in text
    assert CANARY not in repr(pickle.dumps(caught.value))


def untrusted(server: Server, certificates: Certificates, *, own_key: bool) -> dict[str, Any]:
    """Return settings with an authority that did not sign, or a key that does not open."""
    key = certificates.encrypted_client
    files = {"sslcert": str(key.certificate), "sslkey": str(key.key), "sslpassword": CANARY}
    root = certificates.ca if own_key else certificates.other_ca
    over: dict[str, Any] = files if own_key else {"password": CANARY}
    tls = {"sslmode": "verify-full", "sslrootcert": str(root), "user": "cert_user"}
    return settings(server, **{**tls, **over})


@pytest.mark.parametrize("own_key", [False, True])
async def test_tls_failure(
    make: Make,
    tls_server: Server,
    certificates: Certificates,
    caplog: pytest.LogCaptureFixture,
    own_key: Any,
) -> None:
    """The same for a certificate that is not trusted, and for the password of a key."""
    caplog.set_level(logging.DEBUG)
    manager = make(untrusted(tls_server, certificates, own_key=own_key))
    with pytest.raises(ConnectionFailedError) as caught:
        await select(manager.normal())
    for text in (*told(caught.value), *shown(manager), caplog.text):
        assert CANARY not in text


@pytest.mark.parametrize("kind", TYPES)
async def test_success(
    make: Make, server: Server, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor do the manager, its handles, plans and pools, nor the logs, when all is well."""
    caplog.set_level(logging.DEBUG)
    manager = make(settings(server))
    handle = manager.get_database_connection(connection_type=kind)
    assert await select(handle) == 1
    things: list[Any] = [manager, handle, manager.cache_info]
    if isinstance(handle, PoolHandle | AsyncPoolHandle):
        things += [handle.pool, handle.pool.kwargs, handle.pool.conninfo]
    for thing in things:
        assert all(PASSWORD not in text for text in shown(thing))
    assert PASSWORD not in caplog.text
    await manager.clear_cache_async()


@pytest.mark.parametrize("thing", ["manager", "handle", "plan"])
def test_pickling(make: Make, server: Server, thing: str) -> None:
    """Pickling fails, rather than write the password down."""
    manager = make(settings(server))
    handle = manager.normal()
    picked = {"manager": manager, "handle": handle, "plan": handle.plan}[thing]
    with pytest.raises(TypeError):
        pickle.dumps(picked)


async def test_cancelled_while_connecting(make: Make, server: Server) -> None:
    """A cancellation drops the frames that hold the password."""
    handle = make(settings(server, password=CANARY)).async_()
    for steps in range(6):
        task = asyncio.create_task(select(handle))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises((asyncio.CancelledError, ConnectionFailedError)) as caught:
            await task
        assert all(CANARY not in text for text in told(caught.value))


def test_dictionary_with_a_mistake() -> None:
    """The caller's dictionary is not held by the error's frames of this library."""
    data = {"connection_settings": {"password": CANARY, "prot": 1}}
    with pytest.raises(PgstrataError) as caught:
        PGConnectionManager().get_database_connection_from_dict(data, "pool")
    del data
    assert CANARY not in "".join((str(caught.value), repr(vars(caught.value))))


def test_pool_that_cannot_grow(
    make: Make, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """The pool's own warnings about its workers' failures do not tell the password."""
    caplog.set_level(logging.DEBUG)
    server.sql(f"CREATE ROLE limited LOGIN PASSWORD '{PASSWORD}' CONNECTION LIMIT 1")
    sizes = {"min_size": 1, "max_size": 2, "timeout": 1.5}
    handle = make(settings(server, user="limited"), pool_settings=sizes).pool()
    with handle, pytest.raises(ConnectionFailedError) as caught, handle:
        raise AssertionError
    handle.close()
    assert "too many connections" in caplog.text
    assert "too many connections" in str(caught.value)
    assert all(PASSWORD not in text for text in (*told(caught.value), caplog.text))
