"""A project on disk: where it is, and which environments it has."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath

from pgstrata.errors import ProjectNotFoundError

DEFAULT_ENVIRONMENT = "development"
FOLDER = "environments"
BASE = "base"
RESERVED = (BASE, "waivers")
_ENDING = ".yaml"
_PARTS = (".local", ".sealed")  # of an environment, beside its own file
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def environments(project: Path) -> tuple[str, ...]:
    """Return the names of a project's environments, sorted: one for each overlay file.

    Raises ``ProjectNotFoundError`` where there is no folder of environments.
    """
    return among(path.name for path in environments_folder(project).iterdir())


def among(names: Iterable[str]) -> tuple[str, ...]:
    """Return the environments, sorted, whose overlays are among the names of files."""
    stems = (name.removesuffix(_ENDING) for name in names if name.endswith(_ENDING))
    return tuple(sorted(stem for stem in stems if not name_problem(stem)))


def unread(names: Iterable[str]) -> dict[str, str]:
    """Return which of the names of files look like one of an environment, but are not read as one;
    each with what to do. Hidden files are not among them: editors make those.
    """
    there = sorted(names)
    advice = {name: _advice(name, there) for name in there if not name.startswith(".")}
    return {name: said for name, said in advice.items() if said}


def _advice(name: str, there: Collection[str]) -> str:
    path = PurePosixPath(name)
    if path.suffix.lower() not in (_ENDING, ".yml"):
        return ""
    whole = path.stem in RESERVED or path.stem.endswith(_PARTS)
    if problem := "" if whole else name_problem(path.stem):
        return f"give it another name: {problem}"
    right = f"{path.stem}{_ENDING}"
    if right in there:  # also where it is this very file
        return "" if name == right else f"remove it: {right} is what is read"
    return f"rename it to {right}"


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
