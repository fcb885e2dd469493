"""A first look at the environments: their names, files and ancestors, without loading any of them.

It reads three keys and nothing else, so it needs no libpq, and works where a file is broken.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pgstrata.layers.document import Scalar, parse
from pgstrata.layers.project import BASE, FOLDER, environments


@dataclass(frozen=True, slots=True)
class Outline:
    """One environment: the files that make it, weakest first, and what they say of its nature."""

    name: str
    extends: str
    protected: bool
    local: bool
    files: tuple[str, ...]


def outline(project: Path) -> list[Outline]:
    """Return the outlines of all environments. Raises ``ProjectNotFoundError``."""
    names = environments(project)
    base = _said(project / FOLDER / f"{BASE}.yaml")
    overlays = {name: _said(project / FOLDER / f"{name}.yaml") for name in names}
    return [_one(project, name, base, overlays) for name in names]


def _one(
    project: Path, name: str, base: dict[str, str], overlays: dict[str, dict[str, str]]
) -> Outline:
    chain = [name]
    while (parent := overlays[chain[0]].get("extends", "")) in overlays and parent not in chain:
        chain.insert(0, parent)
    said = dict(base)
    for ancestor in chain:
        said |= overlays[ancestor]
    candidates = [BASE, *chain, f"{name}.local", f"{name}.sealed"]
    files = (f"{candidate}.yaml" for candidate in candidates)
    return Outline(
        name,
        overlays[name].get("extends", ""),
        said.get("protected") == "true",
        said.get("local") == "true",
        tuple(file for file in files if (project / FOLDER / file).is_file()),
    )


def _said(path: Path) -> dict[str, str]:
    """Return the three keys as a file has them; nothing for a file that cannot be read."""
    try:
        root = parse(path.read_bytes(), "overlay", path.name).root
    except OSError:
        return {}
    return {
        key: node.text
        for key in ("extends", "protected", "local")
        if isinstance(node := root.entries.get(key), Scalar)
    }
