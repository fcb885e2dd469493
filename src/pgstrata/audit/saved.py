"""Snapshots in a file, so that a machine without a way to the servers can judge them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from pgstrata.audit.model import Gap, Snapshot
from pgstrata.errors import ConfigError

_VERSION = 1
_NAMES = {field.name for field in fields(Snapshot)}


def text(snapshots: Iterable[Snapshot]) -> str:
    """Return the file of snapshots: JSON, ASCII. No secret is in one."""
    shape = {"schema_version": _VERSION, "snapshots": [asdict(one) for one in snapshots]}
    return json.dumps(shape, indent=1) + "\n"


def read(path: Path) -> list[Snapshot]:
    """Return the snapshots of a file. Raises ``ConfigError``."""
    hint = "pgstrata audit --save FILE writes one"
    problem = f"{path} holds no snapshots of this version"
    try:
        shape = json.loads(path.read_text(encoding="utf-8"))
        if shape["schema_version"] == _VERSION:
            return [_snapshot(one) for one in shape["snapshots"]]
    except OSError as error:
        problem = f"cannot read {path}: {error.strerror}"
    except (ValueError, TypeError, KeyError, AttributeError):
        pass
    raise ConfigError(problem, hint=hint)


def _snapshot(shape: dict[str, Any]) -> Snapshot:
    if shape.keys() != _NAMES:
        raise ValueError
    facts = {name: tuple(dict(row) for row in rows) for name, rows in shape["facts"].items()}
    gaps = {name: Gap(**gap) for name, gap in shape["gaps"].items()}
    return Snapshot(**{**shape, "facts": facts, "gaps": gaps})
