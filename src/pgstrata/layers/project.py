"""A project on disk: where it is, and which environments it has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from pgstrata.errors import ProjectNotFoundError

DEFAULT_ENVIRONMENT = "development"
FOLDER = "environments"
BASE = "base"
RESERVED = (BASE, "waivers")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def environments(project: Path) -> tuple[str, ...]:
    """Return the names of a project's environments, sorted: one for each overlay file.

    Raises ``ProjectNotFoundError`` where there is no folder of environments.
    """
    folder = environments_folder(project)
    names = (path.stem for path in folder.glob("*.yaml"))
    return tuple(sorted(name for name in names if not name_problem(name)))


def name_problem(name: str) -> str:
    """Return why ``name`` cannot name an environment, or nothing."""
    if name in RESERVED:
        return f"{name}.yaml is for something else"
    if not _NAME.fullmatch(name):
        return "names are letters, digits, - and _, and begin with a letter or digit"
    return ""


def environments_folder(project: Path) -> Path:
    """Return the folder of environment files. Raises ``ProjectNotFoundError``."""
    folder = project / FOLDER
    if not folder.is_dir():
        raise ProjectNotFoundError(
            f"no project here: {folder} is not a folder",
            hint="pgstrata init makes one; -C FOLDER or PGSTRATA_PROJECT name another",
        )
    if not (folder / f"{BASE}.yaml").is_file():
        raise ProjectNotFoundError(
            f"{folder / 'base.yaml'} does not exist",
            hint="it holds what all environments share, and may be empty",
        )
    return folder


def environment_name(name: str | None, environ: Mapping[str, str]) -> str:
    """Return the environment that is meant where ``name`` is what the caller said."""
    return environ.get("PGSTRATA_ENV") or DEFAULT_ENVIRONMENT if name is None else name


def project_folder(project: str | Path | None, environ: Mapping[str, str]) -> Path:
    """Return the project folder that is meant where ``project`` is what the caller said."""
    return Path(project or environ.get("PGSTRATA_PROJECT") or ".").absolute()
