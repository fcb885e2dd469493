"""Files beside the environments that look like one, and that nothing reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pgstrata.layers.project import FOLDER, unread
from pgstrata.model import Finding, Origin

RULES = {
    "unread-file": (
        "With `--all`: a file in environments/ is a `.yml`, or no environment can have its name.",
        "It is not read, and the environment that somebody counts on is not there.",
        "Rename it to letters, digits, - or _, and then `.yaml`; or move it elsewhere.",
    ),
}


def find(project: Path) -> Iterator[Finding]:
    """Find the files of a project that are passed over."""
    names = (path.name for path in (project / FOLDER).glob("*"))
    for name, advice in unread(names).items():
        origin = Origin("overlay", f"{FOLDER}/{name}", 1, 1)
        message = f"{name} is not read: it is the file of no environment"
        yield Finding("unread-file", message, origin, hint=advice)
