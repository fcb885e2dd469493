"""Session settings: how they travel, and that they hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tests.connect.conftest import TYPES, Make, select, settings, write
from tests.servers import Server

from pgstrata import ConnectionFailedError, InvalidConfigError, PGConnectionManager
from pgstrata.connect.conninfo import options
from pgstrata.connect.handles import AsyncHandle, AsyncPoolHandle

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)


def current(name: str) -> str:
    """Return the query for a parameter's value."""
    return f"SELECT current_setting('{name}')"


@given(texts=st.lists(TEXTS, min_size=1, max_size=4))
@example(texts=["", " ", "a, public", "\\", "\\ ", '"$user", public', "'; DROP", "a\tb\n\v\f\r"])
@example(texts=["--x=y", "-c work_mem=1", "é\u00a0\u0085\u2003"])
@hypothesis_settings(max_examples=60, deadline=None)
def test_any_text_arrives(server: Server, texts: list[str]) -> None:
    """The server reads from ``options`` what was given, character by character."""
    parameters = {f"app.v{number}": text for number, text in enumerate(texts)}
    with psycopg.connect(**server.keywords(options=options(parameters))) as connection:
        for name, text in parameters.items():
            assert connection.execute(current(name).encode()).fetchone() == (text,)


@pytest.mark.parametrize("pooler", [None, "session"])
@pytest.mark.parametrize("kind", TYPES)
async def test_settings_hold(make: Make, server: Server, kind: str, pooler: str | None) -> None:
    """Settings are there from the start, and a rollback in the first transaction reverts none."""
    manager = make(
        settings(server),
        session_settings={"search_path": "a, public", "app.tenant": "it's \\ ours", "app.no": ""},
        sync_settings={"statement_timeout": "30s"},
        async_settings={"statement_timeout": "40s"},
        **({"pooler": pooler} if pooler else {}),
    )
    handle = manager.get_database_connection(connection_type=kind)
    with pytest.raises(psycopg.errors.DivisionByZero):
        await select(handle, "SELECT 1/0")
    assert await select(handle, current("search_path")) == "a, public"
    assert await select(handle, current("app.tenant")) == "it's \\ ours"
    assert await select(handle, current("app.no")) == ""
    own = "30s" if kind in ("normal", "pool") else "40s"
    assert await select(handle, current("statement_timeout")) == own
    source = "SELECT source FROM pg_settings WHERE name = 'search_path'"
    assert await select(handle, source) == ("session" if pooler else "client")
    await manager.clear_cache_async()


async def test_own_options_are_kept(make: Make, server: Server) -> None:
    """The user's own ``options`` stand beside the session settings."""
    given = settings(server, options="-c work_mem=7MB -c app.one=1\\ 2")
    handle = make(given, session_settings={"app.two": "3"}).normal()
    assert await select(handle, current("work_mem")) == "7MB"
    assert await select(handle, current("app.one")) == "1 2"
    assert await select(handle, current("app.two")) == "3"


@pytest.mark.parametrize("pooler", [None, "session"])
@pytest.mark.parametrize("kind", TYPES)
async def test_value_that_the_server_refuses(
    make: Make, server: Server, kind: str, pooler: str | None
) -> None:
    """What validation cannot know fails when connecting, in the server's own words."""
    over: dict[str, Any] = {"pooler": pooler} if pooler else {}
    bad = {"default_text_search_config": "nonsense", "timezone": "Nowhere/Land"}
    manager = make(settings(server), session_settings=bad, **over)
    handle = manager.get_database_connection(connection_type=kind)
    with pytest.raises(ConnectionFailedError, match="invalid value for parameter") as caught:
        await select(handle)
    assert isinstance(caught.value.__cause__, psycopg.Error)
    assert "session_settings" in caught.value.hint


def test_misspelt_parameter(make: Make, server: Server) -> None:
    """A misspelt parameter of PostgreSQL never gets as far as the server."""
    with pytest.raises(InvalidConfigError, match="statement_timeot"):
        make(settings(server), session_settings={"statement_timeot": "30s"}).normal()


async def test_keywords_arrive(make: Make, server: Server) -> None:
    """``application_name`` arrives; prepared statements stop only behind a pooler that needs it."""
    given = settings(server, application_name="it's me")
    manager = make(given)
    assert await select(manager.normal(), current("application_name")) == "it's me"
    with manager.pool() as connection:
        assert connection.prepare_threshold == 5
    async with await manager.async_pool() as asynchronous:
        assert asynchronous.prepare_threshold == 5
    await manager.clear_cache_async()
    with make(given, pooler="transaction").pool() as connection:
        assert connection.prepare_threshold is None


@pytest.mark.parametrize("autocommit", [False, True])
def test_keywords_for_others(make: Make, server: Server, autocommit: Any) -> None:
    """What other libraries are given connects as the handles do."""
    manager = make(settings(server, autocommit=autocommit), session_settings={"work_mem": "7MB"})
    with psycopg.connect(**manager.keywords()) as theirs, manager.normal() as ours:
        assert theirs.autocommit == ours.autocommit == autocommit
        for connection in (theirs, ours):
            assert connection.execute("SHOW work_mem").fetchone() == ("7MB",)


def test_handles_of_both_kinds_are_told_apart(make: Make, server: Server) -> None:
    """Nothing asynchronous can be entered by a plain ``with``."""
    manager = make(settings(server))
    for handle in (manager.async_(), manager.async_pool()):
        assert isinstance(handle, AsyncHandle | AsyncPoolHandle)
        assert not hasattr(handle, "__enter__")


@pytest.mark.parametrize("kind", TYPES)
async def test_options_of_the_surroundings_stay(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """PGOPTIONS counts as shown, beside session settings too, which are stronger."""
    monkeypatch.setenv("PGOPTIONS", "-c app.theirs=theirs -c app.both=theirs")
    sections = {
        "connection_settings": settings(server),
        "session_settings": {"app.ours": "ours", "app.both": "ours"},
    }
    for name, content in (("base", sections), ("test", {})):
        write(tmp_path / "environments" / f"{name}.yaml", content)
    async with PGConnectionManager("test", project=tmp_path) as manager:
        handle = manager.get_database_connection(connection_type=kind)
        assert await select(handle, current("app.theirs")) == "theirs"
        assert await select(handle, current("app.ours")) == "ours"
        assert await select(handle, current("app.both")) == "ours"
