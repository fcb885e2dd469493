from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.servers import PASSWORD

from pgstrata.errors import EnvInterpolationError, UsageError
from pgstrata.pgmonkey import PGConnectionManager, load_config


def test_equal_configurations_share_an_object(file: Path) -> None:
    """As file or dictionary; ``force_reload`` makes a new one, and ``clear_cache`` forgets all."""
    manager = PGConnectionManager()
    data = load_config(file)
    one = manager.get_database_connection_from_dict(data, "normal")
    assert manager.get_database_connection_from_dict(dict(data), "normal") is one
    assert manager.get_database_connection(file, "pool") is not one
    assert set(manager.cache_info["connection_types"].values()) == {"normal", "pool"}
    one.connect()
    kept = one.connection
    assert manager.get_database_connection_from_dict(data, "normal", True) is not one
    assert kept.closed
    manager.clear_cache()
    assert manager.cache_info == {"size": 0, "connection_types": {}}


def test_references(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are followed when asked; one that leads nowhere is told by the call."""
    text = file.read_text().replace(json.dumps(PASSWORD), '{"from_env": "MONKEY_PW"}')
    file.write_text(text)
    manager = PGConnectionManager()
    with pytest.raises(EnvInterpolationError, match="MONKEY_PW"):
        manager.get_database_connection(file, "normal", resolve_env=True)
    with pytest.raises(EnvInterpolationError, match="not followed"):
        manager.get_database_connection(file, "normal")
    monkeypatch.setenv("MONKEY_PW", PASSWORD)
    manager.get_database_connection(file, "normal", resolve_env=True).test_connection()
    with pytest.raises(UsageError, match="'quick' is not a connection type"):
        manager.get_database_connection(file, "quick", resolve_env=True)
