"""The files of a project as the loader sees them: on disk, or in a revision of git.

One function reads a file, wherever it is; who loads environments need not know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pgstrata.layers.document import content_of
from pgstrata.layers.project import FOLDER, among, environments_folder, unread

LOCAL = ".local.yaml"


@dataclass(frozen=True, slots=True)
class Folder:
    """A project's files. ``names`` are those in ``environments/``.

    ``read`` takes a path that starts at the project folder and returns the file's content; it
    raises ``OSError``. ``revision`` stands before the paths in origins; it is empty on disk.
    """

    project: Path
    names: frozenset[str]
    read: Callable[[str], bytes]
    revision: str = ""

    @property
    def environments(self) -> tuple[str, ...]:
        """The names of the environments, sorted: one for each overlay file."""
        return among(self.names)

    @property
    def unread(self) -> dict[str, str]:
        """The files that look like one of an environment, but are not read, and what to do."""
        return unread(self.names)

    def source(self, name: str) -> str:
        """Return what people are shown as the name of a file in ``environments/``.

        In a revision it is git's own way of naming it, e.g. ``main:environments/base.yaml``.
        """
        return f"{self.revision}:{FOLDER}/{name}" if self.revision else f"{FOLDER}/{name}"

    def shared(self) -> Folder:
        """Return the folder without the files that belong to one machine."""
        return replace(self, names=frozenset(n for n in self.names if not n.endswith(LOCAL)))


def on_disk(project: Path) -> Folder:
    """Return the folder as it is now. Raises ``ProjectNotFoundError``."""
    names = frozenset(path.name for path in environments_folder(project).iterdir())
    return Folder(project, names, lambda path: content_of(project / path))
