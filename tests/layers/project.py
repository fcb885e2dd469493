"""Projects made of a few lines of YAML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from pgstrata import Config, Finding, InvalidConfigError, load

ENVIRON = {"HOME": "/nonexistent"}
SERVER = "connection_settings: {host: db, dbname: app, user: app}\n"


def write(folder: Path, base: str | bytes = "", **overlays: str | bytes) -> Path:
    """Write a project; ``production_local`` stands for ``production.local.yaml``."""
    environments = folder / "environments"
    environments.mkdir(exist_ok=True)
    for name, text in {"base": base, "production": "", **overlays}.items():
        content = text if isinstance(text, bytes) else text.encode()
        (environments / f"{name.replace('_local', '.local')}.yaml").write_bytes(content)
    return folder


def loaded(project: Path, environ: Mapping[str, str] | None = None, **more: object) -> Config:
    """Load production with no variables but these."""
    return load("production", project=project, environ={**ENVIRON, **(environ or {})}, **more)  # type: ignore[arg-type]  # whatever a test passes on


def refused(project: Path, environ: Mapping[str, str] | None = None) -> tuple[Finding, ...]:
    """Return what loading production finds."""
    with pytest.raises(InvalidConfigError) as caught:
        loaded(project, environ)
    return caught.value.findings


def settings(text: str) -> str:
    """Return a base file with this below ``connection_settings``, and all that must be there."""
    return f"connection_settings:\n  host: db\n  dbname: app\n  user: app\n{text}"
