"""What is compared: environments as they are now, or as they were in a revision of git."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pgstrata.cli.output import tell
from pgstrata.errors import ConfigError, InvalidConfigError, UsageError

if TYPE_CHECKING:
    from pgstrata.layers.folder import Folder
    from pgstrata.model import Config


def load_sides(project: Path, sides: Iterable[str]) -> dict[str, Config]:
    """Return the environments named ``ENV`` or ``ENV@GITREF``, by these labels.

    Raises ``InvalidConfigError`` with all that is wrong in any of them.
    """
    from pgstrata.loading import load_shared

    wanted = {side: _split(side) for side in sides}
    loaded = {}
    for revision in dict.fromkeys(revision for _, revision in wanted.values()):
        names = [name for name, its in wanted.values() if its == revision]
        loaded[revision] = load_shared(names, folder_of(project, revision))
    return require({side: loaded[revision][name] for side, (name, revision) in wanted.items()})


def _split(side: str) -> tuple[str, str | None]:
    name, at, revision = side.partition("@")
    if not name or (at and not revision):
        raise UsageError(f"{side!r} names no environment", hint="write ENV or ENV@GITREF")
    return name, revision if at else None


def folder_of(project: Path, revision: str | None = None) -> Folder:
    """Return the project's files now, or in a revision of git. Raises ``UsageError`` for an empty
    one: a variable that is not set must not compare the files with themselves.
    """
    from pgstrata.layers.folder import on_disk
    from pgstrata.layers.revision import at_revision

    return on_disk(project) if revision is None else at_revision(project, revision)


def require(results: Mapping[str, Config | ConfigError]) -> dict[str, Config]:
    """Return the configs. Raises what is wrong, all findings of all environments at once."""
    errors = [result for result in results.values() if isinstance(result, ConfigError)]
    for error in errors:
        if not isinstance(error, InvalidConfigError):
            raise error
    if errors:
        found = (
            f for error in errors if isinstance(error, InvalidConfigError) for f in error.findings
        )
        raise InvalidConfigError(tuple(dict.fromkeys(found)))
    return {name: result for name, result in results.items() if not isinstance(result, ConfigError)}


def tell_unread(folder: Folder) -> None:
    """Say which files look like one of an environment, and are passed over."""
    for name, advice in folder.unread.items():
        tell(f"{folder.source(name)} is not read: it is the file of no environment", hint=advice)


def tell_left_out(folder: Folder, environments: Iterable[str]) -> None:
    """Say what of this machine would count in ``show``, and does not count in a comparison."""
    from pgstrata.layers.folder import LOCAL
    from pgstrata.layers.project import FOLDER
    from pgstrata.layers.variables import PREFIX
    from pgstrata.schema.libpq import keywords

    ours = (name for name in sorted(os.environ) if name.startswith(PREFIX) and "__" in name)
    libpq = (k.variable for k in keywords().values() if k.variable and os.environ.get(k.variable))
    files = (f"{name}{LOCAL}" for name in environments if f"{name}{LOCAL}" in folder.names)
    found = [*ours, *libpq, *(f"{FOLDER}/{name}" for name in files)]
    if found:
        tell(f"left out, as it belongs to this machine: {', '.join(found)}")
