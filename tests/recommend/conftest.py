"""Projects to recommend for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from pgstrata.loading import load
from pgstrata.model import Config
from pgstrata.recommend.advice import Recommendation
from pgstrata.recommend.run import recommend

PLACE = {"host": "db.example.com", "dbname": "app", "user": "app", "password": "x"}
Recommended: TypeAlias = Callable[..., Recommendation]


def project(folder: Path, **sections: Any) -> Config:
    """Write and load a project whose base.yaml has these sections. JSON is a part of YAML."""
    environments = folder / "environments"
    environments.mkdir(exist_ok=True)
    (environments / "base.yaml").write_text(json.dumps(sections, indent=1), encoding="utf-8")
    (environments / "one.yaml").write_text("", encoding="utf-8")
    return load("one", project=folder, environ={"HOME": str(folder)})


@pytest.fixture
def recommended(tmp_path: Path) -> Recommended:
    """Return a function from sections to the recommendation; ``over`` changes the connection."""

    def function(over: dict[str, Any] | None = None, **sections: Any) -> Recommendation:
        settings = {key: text for key, text in {**PLACE, **(over or {})}.items() if text}
        return recommend(project(tmp_path, connection_settings=settings, **sections))

    return function


def lines(found: Recommendation, kind: str = "") -> list[str]:
    """Return the lines of the first server, of one kind or all."""
    return [item.line for item in found.servers[0].advice if kind in ("", item.kind)]


def missing(found: Recommendation) -> list[str]:
    """Return the keys that are asked for, of all servers."""
    return [item.key for server in found.servers for item in server.missing]


def notes(found: Recommendation) -> str:
    """Return all notes of all servers."""
    return "\n".join(note.message for server in found.servers for note in server.notes)
